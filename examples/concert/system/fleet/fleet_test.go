package fleet_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
	"github.com/nearside-go/nearside/examples/concert/system/fleet"
	"github.com/nearside-go/nearside/examples/concert/system/process"
	"github.com/nearside-go/nearside/examples/concert/system/service"
)

func TestMain(m *testing.M) {
	process.Main(map[string]process.Role{fleet.Role: serve})
	os.Exit(m.Run())
}

// serve is an instance that answers each request with 200.
func serve(ctx context.Context, _ []byte, ready func(addr string)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go web.Serve(listener)
	ready(listener.Addr().String())
	<-ctx.Done()
	return web.Close()
}

// nowhere is a load balancer that sends no requests.
type nowhere struct{ balancer.Balancer }

func (nowhere) Set(string, []string) error { return nil }

// TestKillEndsInstancesThatGetNoRequests: those that another fleet has replaced, and those that are
// not behind the load balancer yet.
func TestKillEndsInstancesThatGetNoRequests(t *testing.T) {
	f := fleet.New("test", "", service.Config{}, nowhere{})
	blue, err := f.Add(t.Context(), 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	green, err := f.StartReady(t.Context(), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Switch(green); err != nil {
		t.Fatal(err)
	}
	next, err := f.Start(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Kill()
	for _, i := range append(append(blue, green...), next) {
		if i.Alive() {
			t.Errorf("%s has not ended", i.Name)
		}
	}
}
