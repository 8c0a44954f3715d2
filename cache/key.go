package cache

import (
	"reflect"
	"strconv"
)

// builtinKey returns the Key function for a K whose kind is a string or an integer, and its
// inverse. Both are nil for any other K.
func builtinKey[K comparable]() (format func(K) string, parse func(string) (K, bool)) {
	if same, ok := any(func(k string) string { return k }).(func(K) string); ok {
		return same, any(func(k string) (string, bool) { return k, true }).(func(string) (K, bool))
	}
	switch reflect.TypeFor[K]().Kind() {
	case reflect.String:
		return func(k K) string { return reflect.ValueOf(k).String() }, parser[K](func(v reflect.Value, s string) bool {
			v.SetString(s)
			return true
		})
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(k K) string { return strconv.FormatInt(reflect.ValueOf(k).Int(), 10) }, parser[K](parseInt)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(k K) string { return strconv.FormatUint(reflect.ValueOf(k).Uint(), 10) }, parser[K](parseUint)
	}
	return nil, nil
}

// parser returns a function that parses a K, from a function that sets a value of K's kind.
func parser[K comparable](set func(reflect.Value, string) bool) func(string) (K, bool) {
	return func(s string) (k K, ok bool) {
		ok = set(reflect.ValueOf(&k).Elem(), s)
		return k, ok
	}
}

func parseInt(v reflect.Value, s string) bool {
	n, err := strconv.ParseInt(s, 10, v.Type().Bits())
	if err == nil {
		v.SetInt(n)
	}
	return err == nil
}

func parseUint(v reflect.Value, s string) bool {
	n, err := strconv.ParseUint(s, 10, v.Type().Bits())
	if err == nil {
		v.SetUint(n)
	}
	return err == nil
}
