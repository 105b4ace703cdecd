// Package store keeps zones in Badger.
package store
