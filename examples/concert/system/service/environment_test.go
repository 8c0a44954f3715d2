package service_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

func TestEveryFieldCanBeSetFromTheEnvironment(t *testing.T) {
	variables := []string{"HOME=/", "CONCERT="}
	kind := reflect.TypeFor[service.Config]()
	for k := range kind.NumField() {
		text := "1"
		if kind.Field(k).Type == reflect.TypeFor[time.Duration]() {
			text = "1s"
		}
		variables = append(variables, "CONCERT_"+strings.ToUpper(kind.Field(k).Name)+"="+text)
	}
	c, err := service.FromEnvironment(variables)
	if err != nil {
		t.Fatal(err)
	}
	for k := range kind.NumField() {
		if reflect.ValueOf(c).Field(k).IsZero() {
			t.Errorf("%s was not set", kind.Field(k).Name)
		}
	}
}

func TestAnEnvironmentThatIsWrong(t *testing.T) {
	right := []string{"CONCERT_DATABASE=db:1", "CONCERT_QUEUE=nats://queue", "CONCERT_SECRET=a=b"}
	if c, err := service.FromEnvironment(right); err != nil || c.Secret != "a=b" {
		t.Fatalf("secret %q, error %v", c.Secret, err)
	}
	for want, variable := range map[string]string{
		"there is no setting CONCERT_REDDIS":     "CONCERT_REDDIS=redis://redis",
		`CONCERT_VERSION: strconv.Atoi: parsing`: "CONCERT_VERSION=one",
		`CONCERT_DRAIN: time: missing unit`:      "CONCERT_DRAIN=5",
		"CONCERT_SECRET is not set":              "CONCERT_SECRET=",
	} {
		if _, err := service.FromEnvironment(append(right[:len(right):len(right)], variable)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
