package external

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"islet/appliance/config"
	"islet/appliance/datastore"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	postgres := func(code string) error { return fmt.Errorf("query: %w", &pgconn.PgError{Code: code, Message: "said"}) }
	my := func(number uint16) error { return &mysql.MySQLError{Number: number, Message: "said"} }
	cases := map[string]struct {
		err           error
		kind          datastore.Trouble
		found, advice string
	}{
		"no password of PostgreSQL":   {postgres("28P01"), datastore.Refused, "the password", "passwordFile"},
		"no password of MySQL":        {my(1045), datastore.Refused, "the password", "passwordFile"},
		"not from here":               {postgres("28000"), datastore.Refused, "in from here", "pg_hba.conf"},
		"no database":                 {postgres("3D000"), datastore.Refused, "no such database", "CREATE DATABASE"},
		"no database of MySQL":        {my(1049), datastore.Refused, "no such database", "CREATE DATABASE"},
		"no right":                    {postgres("42501"), datastore.Refused, "may not do", "owner"},
		"full":                        {my(1040), datastore.Unreachable, "no connection left", "max_connections"},
		"starting":                    {postgres("57P03"), datastore.Unreachable, "starting", "wait"},
		"a replica":                   {postgres("25006"), datastore.Unfit, "read-only", "takes writes"},
		"another table":               {postgres("42703"), datastore.Unfit, "not kine's", "of its own"},
		"nobody listens":              {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, datastore.Unreachable, "nobody listens", "listen_addresses"},
		"no machine":                  {&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, datastore.Unreachable, "does not answer", "firewalls"},
		"no answer":                   {context.DeadlineExceeded, datastore.Unreachable, "does not answer", "firewalls"},
		"no name":                     {&net.DNSError{Name: "db", Err: "no such host", IsNotFound: true}, datastore.Unreachable, "name of the database's host", "/etc/hosts"},
		"a clock that is wrong":       {x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}, datastore.Unfit, "not valid at this time", "compare the clocks"},
		"another authority":           {x509.UnknownAuthorityError{Cert: &x509.Certificate{}}, datastore.Refused, "unknown authority", "caFile"},
		"another host":                {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "db"}, datastore.Refused, "another host", "endpoint"},
		"no TLS":                      {errors.New("tls error (server refused TLS connection)"), datastore.Refused, "serves no TLS", "caFile"},
		"no TLS of MySQL":             {mysql.ErrNoTLS, datastore.Refused, "serves no TLS", "caFile"},
		"what nobody has thought of":  {errors.New("odd"), datastore.Unreachable, "does not answer as it should: odd", "log"},
		"what is known by its reason": {unfit("too old", "newer"), datastore.Unfit, "too old", "newer"},
	}
	for name, c := range cases {
		got := judge(c.err)
		if got.kind != c.kind || !strings.Contains(got.found, c.found) || !strings.Contains(got.advice, c.advice) {
			t.Errorf("%s: %s: %s; %s", name, got.kind, got.found, got.advice)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]struct{ kind, server, wrong string }{
		"PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu": {config.DatabasePostgres, "PostgreSQL 15.18", ""},
		"PostgreSQL 11.22 on x86_64-pc-linux-gnu":                          {config.DatabasePostgres, "PostgreSQL 11.22", "too old"},
		"CockroachDB CCL v24.1.0":                                          {config.DatabasePostgres, "", "CockroachDB"},
		"8.0.36":                                                           {config.DatabaseMySQL, "MySQL 8.0", ""},
		"5.7.44-log":                                                       {config.DatabaseMySQL, "MySQL 5.7", "too old"},
		"10.11.18-MariaDB-0+deb12u1":                                       {config.DatabaseMySQL, "MariaDB 10.11", ""},
		"10.5.29-MariaDB":                                                  {config.DatabaseMySQL, "MariaDB 10.5", "too old"},
	} {
		var r datastore.DatabaseReport
		err := checkVersion(want.kind, version, &r)
		if r.Server != want.server || (err == nil) != (want.wrong == "") || err != nil && !strings.Contains(err.Error(), want.wrong) {
			t.Errorf("%s: %q (%v)", version, r.Server, err)
		}
	}
}

func target(t *testing.T, endpoint, password string) Target {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := Target{Endpoint: endpoint, PasswordFile: file, Identity: "00"}
	if err := made.read(); err != nil {
		t.Fatal(err)
	}
	return made
}

func TestSource(t *testing.T) {
	t.Parallel()
	pg := target(t, "postgres://islet@192.0.2.9/Site?application_name=a", "p@ss/w:rd?")
	pg.CAFile = "/ca.pem"
	got, err := pg.source()
	if want := "islet:p%40ss%2Fw%3Ard%3F@192.0.2.9/site?application_name=a&connect_timeout=5&sslmode=verify-full&sslrootcert=%2Fca.pem"; err != nil || got != want {
		t.Errorf("%s (%v)", got, err)
	}
	my := target(t, "mysql://islet@tcp(192.0.2.9:3306)/site", "p@ss/w:rd?")
	got, err = my.source()
	if want := "islet:p@ss/w:rd?@tcp(192.0.2.9:3306)/site?timeout=5s"; err != nil || got != want {
		t.Errorf("%s (%v)", got, err)
	}
	if c, err := mysql.ParseDSN(got); err != nil || c.Passwd != "p@ss/w:rd?" || c.User != "islet" {
		t.Errorf("%+v (%v)", c, err)
	}
}

// What is told of a failure holds no password.
func TestInspectOfADatabaseThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	for _, endpoint := range []string{"postgres://islet@" + address + "/site", "mysql://islet@tcp(" + address + ")/site"} {
		r := Inspect(t.Context(), target(t, endpoint, "very-secret"))
		if r.Trouble != datastore.Unreachable || r.Serves || !strings.Contains(r.Wrong(), "nobody listens") || strings.Contains(r.Wrong(), "very-secret") {
			t.Errorf("%s: %+v", endpoint, r)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"drop"}, {"serve", "--endpoint", "x"}, {"inspect", "--nonsense"}} {
		if err := Run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q passes", args)
		}
	}
}
