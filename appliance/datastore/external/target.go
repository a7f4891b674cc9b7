// Package external is the adapter to kine on a database that the site runs itself: PostgreSQL, MySQL or MariaDB. It is linked into
// the store engine only.
package external

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/k3s-io/kine/pkg/dialer"
	"golang.org/x/sys/unix"

	"islet/appliance/config"
)

// Target is a database and how to get into it.
type Target struct {
	Endpoint     string
	PasswordFile string // the others are paths, too; empty where there is none
	CAFile       string
	CertFile     string
	KeyFile      string
	// Identity is of the site: another one's database is refused.
	Identity string
	database config.Database
	password string
}

// silence is after how long without a sign of life a connection is given up.
const silence = 10 * time.Second

func init() {
	dialer.CachingDialer.Control = func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
		})
		if control != nil {
			return control
		}
		return err
	}
}

// addFlags lets a command line fill the target.
func (t *Target) addFlags(flags *flag.FlagSet) {
	flags.SetOutput(io.Discard) // the error says it all
	flags.StringVar(&t.Endpoint, "endpoint", "", "where the database is, without its password")
	flags.StringVar(&t.PasswordFile, "password-file", "", "file with the password")
	flags.StringVar(&t.CAFile, "ca", "", "file with the authorities of the database's certificate")
	flags.StringVar(&t.CertFile, "cert", "", "file with the certificate to show")
	flags.StringVar(&t.KeyFile, "key", "", "file with its key")
	flags.StringVar(&t.Identity, "identity", "", "of the site, hexadecimal")
}

// read reads what the target names.
func (t *Target) read() error {
	var ok bool
	if t.database, ok = config.ParseDatabase(t.Endpoint); !ok || t.database.Password {
		return fmt.Errorf("--endpoint: not where a database is, or it holds a password")
	}
	if t.PasswordFile == "" {
		return nil
	}
	content, err := os.ReadFile(t.PasswordFile)
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	t.password = strings.TrimRight(string(content), "\r\n")
	return nil
}

// source is the database as kine's driver takes it: without the scheme, with the password. It is never to be printed.
func (t *Target) source() (string, error) {
	_, rest, _ := strings.Cut(t.Endpoint, "://")
	if t.database.Kind == config.DatabaseMySQL {
		at := strings.LastIndex(rest, "@tcp(")
		c, err := mysql.ParseDSN(rest[:at] + ":" + t.password + rest[at:])
		if err != nil {
			return "", err
		}
		c.Timeout = dialTimeout
		return c.FormatDSN(), nil
	}
	u, err := url.Parse("postgres://" + rest)
	if err != nil {
		return "", err
	}
	if t.password != "" {
		u.User = url.UserPassword(u.User.Username(), t.password)
	}
	u.Path = strings.ToLower(u.Path) // as kine does
	q := u.Query()
	for name, value := range map[string]string{"sslrootcert": t.CAFile, "sslcert": t.CertFile, "sslkey": t.KeyFile} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if t.CAFile != "" && !q.Has("sslmode") {
		q.Set("sslmode", "verify-full")
	}
	q.Set("connect_timeout", fmt.Sprint(int(dialTimeout.Seconds())))
	u.RawQuery = q.Encode()
	return strings.TrimPrefix(u.String(), "postgres://"), nil
}

const dialTimeout = 5 * time.Second

// errFile is returned for a file that is not what it is to be.
var errFile = errors.New("not a file that can be used")

// open returns a pool of one connection, which is made when it is first used.
func (t *Target) open() (*sql.DB, error) {
	source, err := t.source()
	if err != nil {
		return nil, err
	}
	var db *sql.DB
	if t.database.Kind == config.DatabaseMySQL {
		db, err = t.openMySQL(source)
	} else {
		var c *pgx.ConnConfig
		if c, err = pgx.ParseConfig("postgres://" + source); err == nil {
			c.DialFunc = dialer.CachingDialer.DialContext
			db = stdlib.OpenDB(*c)
		}
	}
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func (t *Target) openMySQL(source string) (*sql.DB, error) {
	c, err := mysql.ParseDSN(source)
	if err != nil {
		return nil, err
	}
	if c.TLS, err = t.tls(); err != nil {
		return nil, err
	}
	c.DialFunc = dialer.CachingDialer.DialContext
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// tls is what a connection to MySQL is encrypted with; nil where no file is named.
func (t *Target) tls() (*tls.Config, error) {
	if t.CAFile == "" && t.CertFile == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no certificate", errFile, t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
