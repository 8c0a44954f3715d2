package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// Program is a program that is not of this system, such as a server.
type Program struct {
	Name  string // for messages
	File  string
	Args  []string
	Env   []string   // besides that of this process
	Files []*os.File // the descriptors of the process from 3 on
	Log   io.Writer  // receives the output besides; nil for none

	// User is the user as which the program runs if this process is root's. "" is root.
	User string
}

// Start starts the program. Its last lines of output are kept for messages.
func (g Program) Start() (*Process, error) {
	cmd := exec.Command(g.File, g.Args...)
	cmd.Env = append(os.Environ(), g.Env...)
	cmd.ExtraFiles = g.Files
	p := &Process{Name: g.Name, cmd: cmd, output: &tail{}, done: make(chan struct{})}
	cmd.Stdout = p.output
	if g.Log != nil {
		cmd.Stdout = io.MultiWriter(p.output, g.Log)
	}
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = 5 * time.Second // a child that outlives the program may hold its output
	if IsRoot() && g.User != "" {
		uid, gid, err := ids(g.User)
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := p.launch(); err != nil {
		return nil, err
	}
	return p, nil
}

// IsRoot reports whether this process may start programs as other users.
func IsRoot() bool { return os.Geteuid() == 0 }

// Folder makes a folder for temporary files, which a user owns if this process is root's.
func Folder(owner string) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "nearside-concert-"); err != nil || !IsRoot() || owner == "" {
		return dir, err
	}
	uid, gid, err := ids(owner)
	if err == nil {
		err = os.Chown(dir, uid, gid)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

func ids(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("find the user of a server: %w", err)
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(uidErr, gidErr)
}

// Await returns once ready returns nil, or an error with the reason why the process is not
// ready. After an error the process has ended. The end of ctx kills the process, so that a ready
// that waits for an answer returns.
func (p *Process) Await(ctx context.Context, within time.Duration, ready func() error) error {
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; <-tick.C {
		err := ready()
		switch {
		case err == nil && stop():
			return nil
		case ctx.Err() != nil:
			p.Kill()
			return fmt.Errorf("%s is not ready: %w", p.Name, context.Cause(ctx))
		case !p.Alive():
			return fmt.Errorf("%s %w: %s", p.Name, errEnded, p.Output())
		case time.Now().After(deadline):
			p.Kill()
			return fmt.Errorf("%s is not ready after %v: %w", p.Name, within, err)
		}
	}
}
