package external

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"islet/appliance/datastore"
)

// troubleError is an error with what it means to an operator.
type troubleError struct {
	kind   datastore.Trouble
	found  string
	advice string
	serves bool
}

func (e *troubleError) Error() string { return e.found + "; " + e.advice }

func unfit(found, advice string) error {
	return &troubleError{kind: datastore.Unfit, found: found, advice: advice}
}

// judge says what an error means to an operator. The texts hold no password: the drivers leave it out.
func judge(err error) *troubleError {
	if known, ok := errors.AsType[*troubleError](err); ok {
		return known
	}
	for _, by := range []func(error) (*troubleError, bool){byFiles, byPostgres, byMySQL, byCertificate, byNetwork} {
		if t, ok := by(err); ok {
			t.found += ": " + short(err)
			return t
		}
	}
	return &troubleError{kind: datastore.Unreachable, found: "the database does not answer as it should: " + short(err), advice: "see the log of the database"}
}

// short is the last of an error's parts, which says why.
func short(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 300 {
		text = text[:300]
	}
	return text
}

// row is what a code of a database means.
type row struct {
	kind          datastore.Trouble
	found, advice string
}

var (
	wrongPassword = row{datastore.Refused, "the database refuses the user or the password", "put the right password into the file datastore.external.passwordFile on every server, and restart them"}
	notAllowed    = row{datastore.Refused, "the database lets nobody in from here", "allow the user from the addresses of all servers (pg_hba.conf; CREATE USER ... for MySQL), with TLS if caFile is set"}
	noDatabase    = row{datastore.Refused, "there is no such database", "create it, owned by the user: CREATE DATABASE"}
	noRight       = row{datastore.Refused, "the user may not do what is needed", "make the user owner of the database, or give it all rights in it"}
	full          = row{datastore.Unreachable, "the database has no connection left", "raise max_connections: each server takes up to 17"}
	starting      = row{datastore.Unreachable, "the database is starting or stopping", "wait for it; see its log if it stays so"}
	readOnly      = row{datastore.Unfit, "the database is read-only", "name the one that takes writes in datastore.external.endpoint, not a copy of it"}
	foreignTable  = row{datastore.Unfit, "the database has a table kine that is not kine's", "give the site a database of its own"}
	noSpace       = row{datastore.Unreachable, "the database has no space left", "free space on its machine"}
)

var postgresCodes = map[string]row{
	"28P01": wrongPassword, "28000": notAllowed, "3D000": noDatabase, "42501": noRight, "53300": full, "57P03": starting, "57P01": starting,
	"25006": readOnly, "42703": foreignTable, "53100": noSpace,
}

var mysqlCodes = map[uint16]row{
	1045: wrongPassword, 1698: wrongPassword, 1130: notAllowed, 1049: noDatabase, 1044: noRight, 1142: noRight, 1040: full, 1203: full, 1053: starting,
	1290: readOnly, 1836: readOnly, 1054: foreignTable, 1021: noSpace, 1114: noSpace,
}

func (r row) trouble() (*troubleError, bool) {
	return &troubleError{kind: r.kind, found: r.found, advice: r.advice}, r.kind != ""
}

// byFiles is what is wrong before the database is asked.
func byFiles(err error) (*troubleError, bool) {
	_, isParse := errors.AsType[*pgconn.ParseConfigError](err)
	_, isPath := errors.AsType[*fs.PathError](err)
	if isParse || isPath || errors.Is(err, errFile) {
		return row{datastore.Refused, "what datastore.external names cannot be used", "see that caFile, certFile and keyFile hold PEM, and that root can read them"}.trouble()
	}
	return nil, false
}

func byPostgres(err error) (*troubleError, bool) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return postgresCodes[e.Code].trouble()
	}
	if strings.Contains(err.Error(), "server refused TLS connection") {
		return noTLS.trouble()
	}
	return nil, false
}

func byMySQL(err error) (*troubleError, bool) {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return mysqlCodes[e.Number].trouble()
	}
	if errors.Is(err, mysql.ErrNoTLS) {
		return noTLS.trouble()
	}
	return nil, false
}

var noTLS = row{datastore.Refused, "the database serves no TLS", "switch it on there (ssl = on, with a certificate), or remove datastore.external.caFile"}

func byCertificate(err error) (*troubleError, bool) {
	var alert tls.AlertError
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, isOther := errors.AsType[x509.HostnameError](err)
	switch {
	case isInvalid && invalid.Reason == x509.Expired:
		return row{datastore.Unfit, "the database's certificate is not valid at this time", "compare the clocks of this machine and the database's (date -u); if both are right, renew the certificate"}.trouble()
	case isUnknown || isInvalid:
		return row{datastore.Refused, "the database's certificate is of an unknown authority", "name the file with that authority's certificate in datastore.external.caFile; do not go on if you do not know it"}.trouble()
	case isOther:
		return row{datastore.Refused, "the database's certificate is for another host", "write the host in datastore.external.endpoint as the certificate has it"}.trouble()
	case errors.As(err, &alert):
		return row{datastore.Refused, "the database refuses this site's certificate", "see datastore.external.certFile and keyFile, and which authority the database trusts"}.trouble()
	}
	return nil, false
}

func byNetwork(err error) (*troubleError, bool) {
	_, isName := errors.AsType[*net.DNSError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case isName:
		return row{datastore.Unreachable, "the name of the database's host is not known", "write its address into datastore.external.endpoint, or the name into /etc/hosts on every server"}.trouble()
	case errors.Is(err, syscall.ECONNREFUSED):
		return row{datastore.Unreachable, "nobody listens where the database should be", "start the database; check the port, and that it listens on that address (listen_addresses, bind-address)"}.trouble()
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), isTimeout && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return row{datastore.Unreachable, "the database's machine does not answer", "check that it runs, the cable, and the firewalls between"}.trouble()
	}
	return nil, false
}
