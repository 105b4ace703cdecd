// Package zonetest makes zones for tests: from master file text, on a store
// in memory that keeps a journal and can be told to fail.
//
// Only tests may import it.
package zonetest
