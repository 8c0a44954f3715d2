package redistest

import (
	"os"
	"strings"
)

// rightsVar is an environment variable with rights in the form of ACL SETUSER. Where it is
// not empty, connections to a server without a user's name have these rights only, for all
// keys. The package itself is another user then, with all rights.
const rightsVar = "REDISTEST_RIGHTS"

// admin is the name and the password of that user.
const admin = "redistest"

func restricted() bool { return os.Getenv(rightsVar) != "" }

// userFlags returns the part of the command line that makes the two users; none if
// connections have all rights.
func userFlags() []string {
	if !restricted() {
		return nil
	}
	flags := []string{
		"--user", admin, "on", ">" + admin, "~*", "&*", "+@all",
		"--masteruser", admin, "--masterauth", admin,
		"--user", "default", "on", "nopass", "~*",
	}
	return append(flags, strings.Fields(os.Getenv(rightsVar))...)
}

// credentials returns the user's name and the password of the package.
func credentials() (name, password string) {
	if !restricted() {
		return "", ""
	}
	return admin, admin
}

// sentinelUsers are the lines of a Sentinel's configuration for the two users.
func sentinelUsers() string {
	if !restricted() {
		return ""
	}
	return "user " + admin + " on >" + admin + " ~* &* +@all\n" +
		"sentinel auth-user " + masterName + " " + admin + "\n" +
		"sentinel auth-pass " + masterName + " " + admin + "\n"
}
