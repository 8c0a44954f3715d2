package service

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// environmentPrefix begins the names of the variables that FromEnvironment reads.
const environmentPrefix = "CONCERT_"

// FromEnvironment returns the configuration that environment variables have, each in the form
// NAME=TEXT. CONCERT_REDIS is the field Redis, and so on. A variable that begins with CONCERT_
// and is no field is an error, so that a misspelt name does not go unnoticed. So is the lack of
// the database, the queue or the secret.
func FromEnvironment(variables []string) (Config, error) {
	var c Config
	fields := reflect.ValueOf(&c).Elem()
	var errs []error
	for _, variable := range variables {
		name, text, _ := strings.Cut(variable, "=")
		setting, ours := strings.CutPrefix(name, environmentPrefix)
		if !ours {
			continue
		}
		field := fields.FieldByNameFunc(func(f string) bool { return strings.ToUpper(f) == setting })
		if !field.IsValid() {
			errs = append(errs, fmt.Errorf("there is no setting %s", name))
		} else if err := set(field, text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	for _, required := range []string{"Database", "Queue", "Secret"} {
		if fields.FieldByName(required).IsZero() {
			errs = append(errs, fmt.Errorf("%s%s is not set", environmentPrefix, strings.ToUpper(required)))
		}
	}
	return c, errors.Join(errs...)
}

// set gives a field of a Config the value that a text stands for.
func set(field reflect.Value, text string) error {
	var err error
	switch into := field.Addr().Interface().(type) {
	case *string:
		*into = text
	case *int:
		*into, err = strconv.Atoi(text)
	case *time.Duration:
		*into, err = time.ParseDuration(text)
	default:
		err = fmt.Errorf("a %s cannot be set from the environment", field.Type())
	}
	return err
}
