package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	lockfile "islet/images"
	"islet/images/debian"
)

// database is PostgreSQL on a host of a lab, from Debian's packages, as a site would run it itself.
type database struct {
	*platform
	password string
	ca       []byte // of the certificate that it serves with
}

const (
	databaseRoot = "/var/lib/database"
	databaseUser = "65534"
	databasePort = "5432"
)

// databasePackages are PostgreSQL and every library that it needs.
var databasePackages = []string{
	"postgresql-15", "libpq5", "libzstd1", "liblz4-1", "libxml2", "libpam0g", "libssl3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libcom-err2",
	"libkrb5support0", "zlib1g", "libldap-2.5-0", "libsasl2-2", "libicu72", "libsystemd0", "liblzma5", "libaudit1", "libcap-ng0", "libkeyutils1",
	"libgnutls30", "libstdc++6", "libgcc-s1", "libp11-kit0", "libidn2-0", "libunistring2", "libtasn1-6", "libnettle8", "libhogweed6", "libffi8",
	"libcap2", "libgcrypt20", "libgpg-error0", "libgmp10",
}

// newDatabase installs PostgreSQL on a host of which nothing else is wanted. It is not started yet.
func newDatabase(t *testing.T, host *platform) *database {
	t.Helper()
	d := &database{platform: host, password: rand.Text()}
	d.unpack(t)
	d.run(t, "mkdir", "-p", databaseRoot+"/run")
	d.certify(t)
	d.write(t, "password", []byte(d.password+"\n"), 0o644)
	d.run(t, "chown", "-R", databaseUser, databaseRoot)
	d.must(t, "initdb", "-D", databaseRoot+"/data", "-U", "postgres", "--pwfile="+databaseRoot+"/password", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C")
	settings := fmt.Sprintf("listen_addresses = '*'\nport = %s\nunix_socket_directories = '%s/run'\njit = off\nssl = on\nssl_cert_file = '%[2]s/tls.crt'\nssl_key_file = '%[2]s/tls.key'\nlog_timezone = GMT\ntimezone = GMT\n",
		databasePort, databaseRoot)
	d.write(t, "data/postgresql.conf", []byte(settings), 0o644)
	d.write(t, "data/pg_hba.conf", []byte("hostssl all all 0.0.0.0/0 scram-sha-256\nlocal all all scram-sha-256\n"), 0o644)
	d.single(t, "CREATE ROLE islet LOGIN PASSWORD '"+d.password+"'", "CREATE DATABASE islet OWNER islet")
	return d
}

// unpack fetches the packages that the lock file pins, once for all runs.
func (d *database) unpack(t *testing.T) {
	t.Helper()
	lock, err := lockfile.ReadLock("..")
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join("..", "build", "cache", "deb")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	d.run(t, "mkdir", "-p", databaseRoot)
	for _, name := range databasePackages {
		p, err := lock.Package(name)
		if err != nil {
			t.Fatal(err)
		}
		deb, err := p.Fetch(t.Context(), cache)
		if err != nil {
			t.Fatal(err)
		}
		if err := debian.Unpack(t.Context(), deb, d.host.Path(databaseRoot)); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *database) write(t *testing.T, name string, content []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(d.host.Path(filepath.Join(databaseRoot, name)), content, mode); err != nil {
		t.Fatal(err)
	}
}

// certify makes the database's authority and its certificate.
func (d *database) certify(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "database"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour * 24),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IP(d.host.Addr().AsSlice())},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	d.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	d.write(t, "tls.crt", d.ca, 0o644)
	d.write(t, "tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// command is one of PostgreSQL's programs, as a user who is not root.
func (d *database) command(program string, args ...string) []string {
	libraries := databaseRoot + "/lib/x86_64-linux-gnu:" + databaseRoot + "/usr/lib/x86_64-linux-gnu"
	line := []string{"setpriv", "--reuid=" + databaseUser, "--regid=" + databaseUser, "--clear-groups",
		"env", "-C", databaseRoot, "LD_LIBRARY_PATH=" + libraries, "LC_ALL=C", "PGPASSWORD=" + d.password,
		databaseRoot + "/usr/lib/postgresql/15/bin/" + program}
	return append(line, args...)
}

func (d *database) must(t *testing.T, program string, args ...string) string {
	t.Helper()
	return d.run(t, d.command(program, args...)...)
}

func (d *database) start(t *testing.T) {
	t.Helper()
	if out, err := d.host.Output(t.Context(), d.command("pg_ctl", "-D", databaseRoot+"/data", "-l", databaseRoot+"/log", "-w", "start")...); err != nil {
		log, _ := d.host.Output(t.Context(), "tail", databaseRoot+"/log")
		t.Fatalf("%v: %s\n%s", err, out, log)
	}
}

// stop ends it at once, as a loss of power would.
func (d *database) stop(t *testing.T) {
	t.Helper()
	d.must(t, "pg_ctl", "-D", databaseRoot+"/data", "-m", "immediate", "-w", "stop")
}

// single runs statements while the server is down: psql is in another package.
func (d *database) single(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, err := d.host.Output(ctx, "sh", "-c", strings.Join(quoteAll(d.command("postgres", "--single", "-D", databaseRoot+"/data", "postgres")), " ")+" <<'EOF'\n"+s+"\nEOF\n")
		cancel()
		if err != nil || strings.Contains(out, "ERROR") {
			t.Fatalf("%s: %v\n%s", s, err, out)
		}
	}
}

func quoteAll(args []string) []string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return quoted
}

// endpoint is where it is, as the answer file has it.
func (d *database) endpoint() string {
	return fmt.Sprintf("postgres://islet@%s:%s/islet", d.host.Addr(), databasePort)
}
