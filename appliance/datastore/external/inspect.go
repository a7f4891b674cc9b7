package external

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"islet/appliance/config"
	"islet/appliance/datastore"
)

const (
	inspectTimeout = 10 * time.Second
	// farOff is a difference of clocks with which times in logs and certificates begin to mislead.
	farOff = 30 * time.Second
)

// Inspect asks the database whether a site can be kept in it. It creates nothing.
func Inspect(ctx context.Context, t Target) datastore.DatabaseReport {
	report := datastore.DatabaseReport{At: time.Now().UTC()}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	err := t.read()
	if err == nil {
		var db *sql.DB
		if db, err = t.open(); err == nil {
			defer db.Close()
			err = t.inspect(ctx, db, &report)
		}
	}
	if err != nil {
		wrong := judge(err)
		report.Trouble, report.Found, report.Advice, report.Serves = wrong.kind, wrong.found, wrong.advice, wrong.serves
	}
	return report
}

func (t Target) inspect(ctx context.Context, db *sql.DB, r *datastore.DatabaseReport) error {
	var version string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return err
	}
	if err := checkVersion(t.database.Kind, version, r); err != nil {
		return err
	}
	var err error
	if t.database.Kind == config.DatabaseMySQL {
		err = inspectMySQL(ctx, db)
	} else {
		err = inspectPostgres(ctx, db)
	}
	if err != nil {
		return err
	}
	if err := t.content(ctx, db, r); err != nil {
		return err
	}
	if err := t.clock(ctx, db, r); err != nil {
		return err
	}
	r.Serves = true
	if err := t.durable(ctx, db); err != nil {
		return err
	}
	if skew := time.Duration(r.SkewMillis) * time.Millisecond; skew.Abs() > farOff {
		return &troubleError{datastore.Unfit, fmt.Sprintf("the database's clock is %s off this machine's", skew.Abs().Round(time.Second)),
			"set the one that is wrong (date -u -s, then hwclock -w)", true}
	}
	return nil
}

var number = regexp.MustCompile(`(\d+)\.(\d+)`)

// oldest is the least version of each server that is tried.
var oldest = map[string][2]int{"PostgreSQL": {12, 0}, "MySQL": {8, 0}, "MariaDB": {10, 6}}

// checkVersion reads what VERSION() says: "PostgreSQL 15.18 (Debian ...) on ...", "8.0.36", "10.11.18-MariaDB-0+deb12u1".
func checkVersion(kind, version string, r *datastore.DatabaseReport) error {
	name := "MySQL"
	switch {
	case strings.Contains(version, "MariaDB"):
		name = "MariaDB"
	case kind == config.DatabasePostgres:
		name = "PostgreSQL"
	}
	found := number.FindStringSubmatch(version)
	if found == nil || kind == config.DatabasePostgres && !strings.HasPrefix(version, name) {
		return unfit(fmt.Sprintf("the database says that it is %.80q", version), "use PostgreSQL, MySQL or MariaDB itself")
	}
	major, _ := strconv.Atoi(found[1]) // digits
	minor, _ := strconv.Atoi(found[2])
	r.Server = name + " " + found[0]
	if least := oldest[name]; major < least[0] || major == least[0] && minor < least[1] {
		return unfit(r.Server+" is too old", fmt.Sprintf("use %s %d.%d or newer", name, least[0], least[1]))
	}
	return nil
}

func inspectPostgres(ctx context.Context, db *sql.DB) error {
	var encoding, schema string
	var replica, mayCreate bool
	err := db.QueryRowContext(ctx, `SELECT current_setting('server_encoding'), COALESCE(current_schema(), ''),
		pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
		to_regclass('kine') IS NOT NULL OR COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)`).Scan(&encoding, &schema, &replica, &mayCreate)
	switch {
	case err != nil:
		return err
	case replica:
		return unfit(readOnly.found, readOnly.advice)
	case encoding != "UTF8":
		return unfit("the database's encoding is "+encoding, "create it with ENCODING 'UTF8'")
	case !mayCreate:
		return &troubleError{kind: datastore.Refused, found: "the user may create no tables in the schema " + strconv.Quote(schema), advice: noRight.advice}
	}
	return nil
}

func inspectMySQL(ctx context.Context, db *sql.DB) error {
	var replica bool
	if err := db.QueryRowContext(ctx, "SELECT @@GLOBAL.read_only").Scan(&replica); err != nil {
		return err
	}
	if replica {
		return unfit(readOnly.found, readOnly.advice)
	}
	return nil
}

// content looks at what is in the database, if there is anything yet.
func (t Target) content(ctx context.Context, db *sql.DB, r *datastore.DatabaseReport) error {
	owner, err := t.owner(ctx, db)
	if err != nil {
		return err
	}
	exists, err := t.hasTable(ctx, db, "kine")
	if err != nil || !exists {
		return err
	}
	if _, err := db.ExecContext(ctx, "SELECT id, name, created, deleted, create_revision, prev_revision, lease, value, old_value FROM kine WHERE 1 = 0"); err != nil {
		return err
	}
	size := "SELECT pg_total_relation_size('kine')"
	if t.database.Kind == config.DatabaseMySQL {
		size = "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.TABLES WHERE table_schema = DATABASE() AND table_name = 'kine'"
	}
	err = errors.Join(db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM kine").Scan(&r.Revision), db.QueryRowContext(ctx, size).Scan(&r.Bytes))
	if err == nil && owner == "" && r.Revision > 0 {
		return foreign("the database has a table kine with content, and nothing says which site's")
	}
	return err
}

func foreign(found string) error {
	return unfit(found, "give each site a database of its own; if this is the site's own and was filled in another way, see appliance help servers")
}

const ownerTable = "islet_site"

// owner is the identity of the site whose database it is; empty where it is nobody's yet. It refuses another site's.
func (t Target) owner(ctx context.Context, db *sql.DB) (string, error) {
	exists, err := t.hasTable(ctx, db, ownerTable)
	if err != nil || !exists {
		return "", err
	}
	var owner string
	err = db.QueryRowContext(ctx, "SELECT identity FROM "+ownerTable).Scan(&owner)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err == nil && t.Identity != "" && owner != t.Identity {
		err = foreign("the database is another site's: what is in it is encrypted with another key")
	}
	return owner, err
}

func (t Target) hasTable(ctx context.Context, db *sql.DB, name string) (bool, error) {
	query := "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = $1 AND table_schema = ANY (current_schemas(false))"
	if t.database.Kind == config.DatabaseMySQL {
		query = "SELECT COUNT(*) FROM information_schema.TABLES WHERE table_name = ? AND table_schema = DATABASE()"
	}
	var n int
	err := db.QueryRowContext(ctx, query, name).Scan(&n)
	return n > 0, err
}

// clock compares the database's with this machine's.
func (t Target) clock(ctx context.Context, db *sql.DB, r *datastore.DatabaseReport) error {
	query := "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
	if t.database.Kind == config.DatabaseMySQL {
		query = "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
	}
	var millis int64
	before := time.Now()
	if err := db.QueryRowContext(ctx, query).Scan(&millis); err != nil {
		return err
	}
	r.SkewMillis = millis - before.Add(time.Since(before)/2).UnixMilli()
	return nil
}

// durable says what would lose acknowledged writes, or mislead. The database is used all the same.
func (t Target) durable(ctx context.Context, db *sql.DB) error {
	if t.database.Kind == config.DatabaseMySQL {
		var flush int
		err := db.QueryRowContext(ctx, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit").Scan(&flush)
		if err == nil && flush != 1 {
			return &troubleError{datastore.Unfit, "the database loses writes in a power cut", "set innodb_flush_log_at_trx_commit = 1", true}
		}
		return nil // not every product has it
	}
	var fsync, commit string
	err := db.QueryRowContext(ctx, "SELECT current_setting('fsync'), current_setting('synchronous_commit')").Scan(&fsync, &commit)
	if err == nil && (fsync == "off" || commit == "off") {
		return &troubleError{datastore.Unfit, "the database loses writes in a power cut", "set fsync = on and synchronous_commit = on", true}
	}
	return nil // not every product has it
}
