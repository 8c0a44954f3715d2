package cache

import (
	"reflect"
	"strconv"
)

// builtinKey returns the Key function for a K whose kind is a string or an
// integer, or nil for any other K.
func builtinKey[K comparable]() func(K) string {
	if same, ok := any(func(k string) string { return k }).(func(K) string); ok {
		return same
	}
	switch reflect.TypeFor[K]().Kind() {
	case reflect.String:
		return func(k K) string { return reflect.ValueOf(k).String() }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(k K) string { return strconv.FormatInt(reflect.ValueOf(k).Int(), 10) }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(k K) string { return strconv.FormatUint(reflect.ValueOf(k).Uint(), 10) }
	}
	return nil
}

// ValidName says whether s may stand between the colons of a remote key: one
// or more letters, digits, dots, dashes and underscores of ASCII.
func ValidName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}
