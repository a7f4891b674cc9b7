package config

import (
	"net"
	"regexp"
	"strings"
)

// Database is what an endpoint of a database says.
type Database struct {
	Kind      string   // postgres or mysql
	User      string   // percent-encoded for PostgreSQL, as it is given
	Password  bool     // it has one in it
	Addresses []string // host:port; PostgreSQL may have several, which are tried in turn
	Name      string
}

// The kinds of databases.
const (
	DatabasePostgres = "postgres"
	DatabaseMySQL    = "mysql"
)

var (
	postgresEndpoint = regexp.MustCompile(`^postgres(?:ql)?://([^:@/?#\s]+)(:[^@/?#\s]*)?@([^@/?#\s]+)/([^/?#\s]+)(?:\?([^#\s]*))?$`)
	mysqlEndpoint    = regexp.MustCompile(`^mysql://([^:@/?\s]+)(:[^\s]*)?@tcp\(([^()\s]+)\)/([^/?\s]+)(?:\?(\S*))?$`)
	secretParameter  = regexp.MustCompile(`(?i)(^|&)(ssl)?pass(word|file)=`)
)

// ParseDatabase reads an endpoint as kine takes it.
func ParseDatabase(endpoint string) (d Database, ok bool) {
	d.Kind = DatabasePostgres
	port, found := "5432", postgresEndpoint.FindStringSubmatch(endpoint)
	if found == nil {
		d.Kind, port, found = DatabaseMySQL, "3306", mysqlEndpoint.FindStringSubmatch(endpoint)
	}
	if found == nil {
		return Database{}, false
	}
	d.User, d.Name = found[1], found[4]
	d.Password = found[2] != "" || secretParameter.MatchString(found[5])
	for address := range strings.SplitSeq(found[3], ",") {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), port)
		}
		host, number, err := net.SplitHostPort(address)
		if err != nil || host == "" || number == "" {
			return Database{}, false
		}
		d.Addresses = append(d.Addresses, address)
	}
	return d, true
}

func isDatabase(text string) bool {
	_, ok := ParseDatabase(text)
	return ok
}

// external judges the site's own database.
func (j *judge) external(c Config) {
	e := c.Datastore.External
	if c.Datastore.Store != StoreExternal {
		if e.Endpoint != "" && c.Node.Role == RoleServer {
			j.warn("datastore.external.endpoint", "set datastore.store: external, or remove the section", "not used: datastore.store is %s", c.Datastore.Store)
		}
		return
	}
	database, ok := ParseDatabase(e.Endpoint)
	switch {
	case e.Endpoint == "":
		j.refuse("datastore.external.endpoint", "write it as postgres://USER@HOST:PORT/DATABASE or mysql://USER@tcp(HOST:PORT)/DATABASE", "empty, and datastore.store is external")
	case ok && database.Password:
		j.refuse("datastore.external.endpoint", "put the password into a file of mode 0600, and its path into datastore.external.passwordFile", "it holds a password, which would be readable wherever this file is")
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		j.refuse("datastore.external.keyFile", "give both, or none", "datastore.external.certFile and keyFile go together")
	}
	if e.CAFile == "" && ok {
		j.warn("datastore.external.caFile", "have the database serve TLS, and name the certificate of its authority", "nothing proves that what answers is the site's database")
	}
}
