package haproxy

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
)

// commandTimeout bounds a command. It is long for the sake of busy machines.
const commandTimeout = 10 * time.Second

func (f *front) admin() string { return filepath.Join(f.dir, "admin") }

// command sends a command to the admin socket, and returns the answer.
func (f *front) command(text string) (string, error) {
	conn, err := net.DialTimeout("unix", f.admin(), commandTimeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(commandTimeout)) // a failure shows in the read
	if _, err := io.WriteString(conn, text+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return strings.TrimSpace(string(answer)), err
}

// ignore sends a command, and ignores the answer.
func (f *front) ignore(text string) error {
	_, err := f.command(text)
	return err
}

// check are the settings of the health check, which comes twice as often after a failure.
// After three failures the instance gets no requests. One success ends that.
var check = fmt.Sprintf("check inter %dms fastinter %dms fall 3 rise 1",
	balancer.CheckEvery.Milliseconds(), balancer.CheckEvery.Milliseconds()/2)

// quiet are the answers that report success.
var quiet = []string{"", "New server registered.", "Already exists a server with the same name in backend."}

// add puts an instance behind the front. Its name is its address.
func (f *front) add(addr string) error {
	server := "front/" + addr
	err := f.expect(
		"add server "+server+" "+addr+" "+check,
		"enable health "+server,
		"set server "+server+" state ready",
	)
	if err == nil {
		f.instances, f.removed = append(f.instances, addr), without(f.removed, addr)
	}
	return err
}

// remove takes an instance from the front: in maintenance, it gets no requests and no checks.
func (f *front) remove(addr string) error {
	err := f.expect("set server front/" + addr + " state maint")
	if err == nil {
		f.instances, f.removed = without(f.instances, addr), append(f.removed, addr)
	}
	return err
}

// forget deletes the removed instances in HAProxy. HAProxy refuses to delete an instance that still
// has a connection: it stays in removed, and add can make it ready again.
func (f *front) forget() error {
	for _, addr := range slices.Clone(f.removed) {
		answer, err := f.command("del server front/" + addr)
		if err != nil {
			return err
		}
		if answer == "Server deleted." {
			f.removed = without(f.removed, addr)
		}
	}
	return nil
}

// without returns addrs without addr.
func without(addrs []string, addr string) []string {
	return slices.DeleteFunc(addrs, func(a string) bool { return a == addr })
}

func (f *front) expect(commands ...string) error {
	for _, c := range commands {
		answer, err := f.command(c)
		if err != nil {
			return err
		}
		if !slices.Contains(quiet, answer) {
			return fmt.Errorf("HAProxy answers %q with %q", c, answer)
		}
	}
	return nil
}
