package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"islet/appliance/config"
)

// databaseWait is how long the site's own database has to answer.
const databaseWait = 3 * time.Second

// databaseSeen is what is found of the site's own database without the store engine: that looks closer at its first start.
type databaseSeen struct {
	files     []string // that cannot be used, each with its reason
	addresses []string // that do not answer, the same
	answers   string   // one that does
}

// databaseCheck looks whether the site's own database can be reached, and what this node is to show it is there.
func databaseCheck(in Input) []Check {
	e := in.Config.Datastore.External
	database, ok := config.ParseDatabase(e.Endpoint)
	if in.Config.Datastore.Store != config.StoreExternal || in.Config.Node.Role != config.RoleServer || !ok {
		return nil
	}
	return []Check{check[databaseSeen]{id: "database", title: "The site's database", judge: judgeDatabase,
		probe: func(ctx context.Context) (databaseSeen, error) {
			seen := databaseSeen{files: unusable(e, in.Joins)}
			ctx, cancel := context.WithTimeout(ctx, databaseWait)
			defer cancel()
			for _, address := range database.Addresses {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
				if err != nil {
					seen.addresses = append(seen.addresses, err.Error())
					continue
				}
				seen.answers = address
				return seen, conn.Close()
			}
			return seen, nil
		}}}
}

// unusable lists files that are not there or that others may read. A server that joins gets what it lacks from the site.
func unusable(e config.External, joins bool) (problems []string) {
	for _, path := range e.Files() {
		info, err := os.Stat(path)
		switch {
		case joins && errors.Is(err, fs.ErrNotExist):
		case err != nil:
			problems = append(problems, err.Error())
		case (path == e.PasswordFile || path == e.KeyFile) && info.Mode().Perm()&0o077 != 0:
			problems = append(problems, fmt.Sprintf("others than root may read %s", path))
		}
	}
	return problems
}

func judgeDatabase(seen databaseSeen) verdict {
	v := verdict{status: Passed, found: "somebody listens at " + seen.answers, threshold: "it listens, and the files are there for root alone"}
	switch {
	case len(seen.files) > 0:
		v.status, v.found = Failed, strings.Join(seen.files, "; ")
		v.advice = "put the files that datastore.external names in place, and chmod 600 the password and the key"
	case seen.answers == "":
		v.status, v.found = Failed, strings.Join(seen.addresses, "; ")
		v.advice = "start the database, and check datastore.external.endpoint and the firewalls between"
	}
	return v
}
