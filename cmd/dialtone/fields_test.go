package main

import (
	"reflect"
	"slices"
	"testing"
)

// wantSet wants every field of a struct but the excepted ones to differ from
// the zero value.
func wantSet(t *testing.T, name string, v any, except ...string) {
	t.Helper()
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		if f := s.Type().Field(i).Name; s.Field(i).IsZero() && !slices.Contains(except, f) {
			t.Errorf("%s.%s is not set", name, f)
		}
	}
}
