// Package zone stub doc.
package zone
