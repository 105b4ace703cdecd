//go:build !linux && !darwin

package control

import "io/fs"

const openCarefully = 0

func checkOwn(fs.FileInfo, int) error { return nil }
