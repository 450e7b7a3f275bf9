//go:build unix

package servertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// unprivileged is who servers run as that refuse to run as root: the user and the group of
// nobody.
const unprivileged = 65534

// StartPostgres starts a PostgreSQL with arguments of its command line, and returns the
// URL of a database, whose user may do everything. What was committed is there after
// [Server.Kill]; a loss of power is not what it is for, and it syncs nothing.
func StartPostgres(tb testing.TB, args ...string) (s *Server, url string) {
	tb.Helper()
	postgres, initdb := postgresTool(tb, "postgres"), postgresTool(tb, "initdb")
	port, dir := freePort(tb), ownFolder(tb)
	data := filepath.Join(dir, "data")
	prepare(tb, "PostgreSQL", initdb, "-D", data, "-U", "hapax", "-A", "trust", "-E", "UTF8", "--no-sync")
	command := demoted(postgres, "-D", data, "-p", port, "-h", "127.0.0.1", "-k", "", "-c", "fsync=off")
	s = begin(tb, "PostgreSQL", port, append(command, args...), postgresServes)
	return s, "postgres://hapax@" + s.Addr + "/postgres?sslmode=disable"
}

// StartMariaDB is [StartPostgres] of MariaDB. The address has the form of go-sql-driver/mysql.
func StartMariaDB(tb testing.TB, args ...string) (s *Server, address string) {
	tb.Helper()
	mariadbd, install := "/usr/sbin/mariadbd", "mariadb-install-db"
	for _, tool := range []string{mariadbd, install} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(tb, "no MariaDB of its own: run make services, which installs it")
		}
	}
	port, dir := freePort(tb), ownFolder(tb)
	data, users := filepath.Join(dir, "data"), filepath.Join(dir, "users.sql")
	prepare(tb, "MariaDB", install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	const text = "CREATE DATABASE IF NOT EXISTS hapax;\nCREATE USER IF NOT EXISTS 'hapax'@'%';\nGRANT ALL ON *.* TO 'hapax'@'%';\n"
	if err := os.WriteFile(users, []byte(text), 0o644); err != nil { //nolint:gosec // the server reads it, as somebody else
		tb.Fatalf("configure MariaDB: %v", err)
	}
	command := demoted(mariadbd, "--no-defaults", "--datadir="+data, "--port="+port, "--bind-address=127.0.0.1", "--skip-name-resolve",
		"--socket="+filepath.Join(dir, "socket"), "--pid-file="+filepath.Join(dir, "pid"), "--init-file="+users, "--innodb-flush-log-at-trx-commit=2")
	s = begin(tb, "MariaDB", port, append(command, args...), mysqlAnswers)
	return s, "hapax@tcp(" + s.Addr + ")/hapax"
}

// postgresTool is where a program of the newest PostgreSQL is.
func postgresTool(tb testing.TB, name string) string {
	tb.Helper()
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 { // the pattern is good
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		missing(tb, "no PostgreSQL of its own: run make services, which installs it")
	}
	return path
}

// ownFolder is a folder of the test's that a server can use that is somebody else.
func ownFolder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "hapax-server-") //nolint:usetesting // nobody else may enter the test's own
	if err == nil && os.Getuid() == 0 {
		err = os.Chown(dir, unprivileged, unprivileged)
	}
	if err != nil {
		tb.Fatalf("make a server's folder: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove a server's folder: %v", err)
		}
	})
	return dir
}

func prepare(tb testing.TB, name string, command ...string) {
	tb.Helper()
	command = demoted(command...)
	c := exec.CommandContext(tb.Context(), command[0], command[1:]...)
	c.Dir = "/" // which everybody can enter
	if out, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("set up %s: %v\n%s", name, err, out)
	}
}

// demoted is a command of somebody who is not root.
func demoted(command ...string) []string {
	if os.Getuid() != 0 {
		return command
	}
	id := strconv.Itoa(unprivileged)
	return append([]string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"}, command...)
}

// postgresServes logs in, which a server that still recovers refuses.
func postgresServes(conn net.Conn) error {
	const login = "\x00\x03\x00\x00user\x00hapax\x00database\x00postgres\x00\x00"
	if err := expect(conn, fmt.Sprintf("\x00\x00\x00%c%s", 4+len(login), login), "R"); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}
