package cli

import (
	"errors"

	"islet/appliance/join"
)

// explainJoin says what to do about refusals. Where none of several servers was right, an impostor among them is the graver
// news.
func explainJoin(err error) error {
	for _, row := range []struct {
		err    error
		advice string
	}{
		{join.ErrNotToken, "type the whole token as `appliance token create` printed it"},
		{join.ErrMistyped, "compare it group by group with what `appliance token create` printed"},
		{join.ErrImpostor, "do not go on: the token is of another site, or of this one before it was installed anew; make a new token"},
		{join.ErrNoServer, "check the cable, this machine's address, and that port 9443 is open between the machines"},
		{join.ErrUnknownToken, "make a new one on a server of this site: appliance token create"},
		{join.ErrExpiredToken, "make a new one on a server: appliance token create"},
		{join.ErrUsedToken, "make a new one on a server: appliance token create"},
		{join.ErrRevokedToken, "ask who revoked it, or make a new one on a server: appliance token create"},
		{join.ErrNameTaken, "choose another with --name, or remove the old node on a server: appliance node remove NAME"},
		{join.ErrAddressTaken, "give this machine another address, or remove the old node on a server: appliance node remove NAME"},
		{join.ErrNotApproved, "ask who refused it; `appliance node approve` on a server changes that"},
		{join.ErrWrongNode, "give this machine that name with --name, or make a token that is good for any: appliance token create"},
		{join.ErrWrongRole, "make a token for that role on a server: appliance token create --role"},
	} {
		if errors.Is(err, row.err) {
			return Advise(err, row.advice)
		}
	}
	return err
}
