package wizard

import "time"

// Order is what the answers ask for: an installation by an answer file, or a join.
type Order struct {
	Join bool `json:"join,omitempty"`
	// Answers and NoKey are of an installation.
	Answers []byte `json:"answers,omitempty"`
	NoKey   bool   `json:"noKey,omitempty"`
	// Shift is by how much the machine's clock is to be set on, or back. It is no part of what is kept: the clock goes on.
	Shift time.Duration `json:"-"`
	// Token, Name and Address are of a join; Name and Address are empty where this machine's own will do.
	Token   string `json:"-"`
	Name    string `json:"-"`
	Address string `json:"-"`
}

// Order is what is to be done after these answers.
func (w *Wizard) Order() (Order, error) {
	if isJoin(w) {
		return Order{Join: true, Token: w.answers[Token], Name: w.answers["node.name"], Address: w.answers["node.address"]}, nil
	}
	file, err := w.File()
	return Order{Answers: file, NoKey: w.Value(RecoveryKey) != Yes, Shift: w.shift()}, err
}
