package audit

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind says what is wrong with a log.
type Kind string

// The kinds, the worst first.
const (
	KindMalformed Kind = "malformed" // it cannot be read
	KindAltered   Kind = "altered"   // an entry is not what its hash, or a signed head, says
	KindGap       Kind = "gap"       // entries are missing, or in another order
	KindCut       Kind = "cut"       // the end is missing
	KindMissing   Kind = "missing"   // a whole chain is, which a replaced disk explains, too
	KindSignature Kind = "signature" // no server of the site has signed it
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind  Kind   `json:"kind"`
	Chain string `json:"chain,omitempty"`
	Seq   uint64 `json:"seq,omitempty"`
	Text  string `json:"text"`
}

// Verified is a chain as it was found.
type Verified struct {
	Chain   string `json:"chain"`
	Entries uint64 `json:"entries"`
	Head    string `json:"head"`   // hash of the last
	Signed  uint64 `json:"signed"` // how far a server has signed it
}

// Report is what verification has found.
type Report struct {
	Chains   []Verified `json:"chains"`
	Findings []Finding  `json:"findings"`
	// Elsewhere are chains of other servers that are known by their heads only.
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// Worst is the first kind of all that was found; empty if nothing is wrong.
func (r Report) Worst() Kind {
	for _, kind := range []Kind{KindMalformed, KindAltered, KindGap, KindCut, KindMissing, KindSignature} {
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == kind }) {
			return kind
		}
	}
	return ""
}

// Verifier takes entries in their order, then heads, and tells what is wrong.
type Verifier struct {
	authorities []*x509.Certificate
	chains      map[string]*walk
	findings    []Finding
}

// walk is how far a chain was followed. hashes are those of entries that heads speak of.
type walk struct {
	last   Entry
	n      uint64
	hashes map[uint64]string
	signed uint64
}

// NewVerifier trusts what servers with a certificate of these authorities have signed.
func NewVerifier(authorities []*x509.Certificate) *Verifier {
	return &Verifier{authorities: authorities, chains: map[string]*walk{}}
}

func (v *Verifier) found(kind Kind, chain string, seq uint64, format string, args ...any) {
	v.findings = append(v.findings, Finding{kind, chain, seq, fmt.Sprintf(format, args...)})
}

// Entry takes the next entry of its chain.
func (v *Verifier) Entry(e Entry) {
	w := v.chains[e.Chain]
	if w == nil {
		w = &walk{hashes: map[uint64]string{}}
		v.chains[e.Chain] = w
	}
	switch {
	case !e.isIntact():
		v.found(KindAltered, e.Chain, e.Seq, "entry %d was altered: it has another hash", e.Seq)
	case e.Seq != w.last.Seq+1:
		v.found(KindGap, e.Chain, e.Seq, "entry %d follows %d: entries were removed, or put in another order", e.Seq, w.last.Seq)
	case e.Prev != w.last.Hash:
		v.found(KindGap, e.Chain, e.Seq, "entry %d does not follow the one that is before it", e.Seq)
	}
	w.last, w.n = e, w.n+1
	w.hashes[e.Seq] = e.Hash
}

// Head takes a signed head. here says whether its chain must be among the entries.
func (v *Verifier) Head(h Head, here bool) {
	if err := h.Verify(v.authorities); err != nil {
		v.found(KindSignature, h.Chain, h.Seq, "the head at entry %d: %v", h.Seq, err)
		return
	}
	w := v.chains[h.Chain]
	switch {
	case w == nil && here:
		v.found(KindMissing, h.Chain, h.Seq, "the whole chain is missing, and its server has signed it up to entry %d", h.Seq)
	case w == nil:
		v.chains[h.Chain] = &walk{signed: h.Seq, hashes: map[uint64]string{}}
	case w.n == 0: // known by a head only
		w.signed = max(w.signed, h.Seq)
	case h.Seq > w.last.Seq:
		v.found(KindCut, h.Chain, h.Seq, "the log ends with entry %d, and its server has signed it up to %d", w.last.Seq, h.Seq)
	case w.hashes[h.Seq] != h.Hash:
		v.found(KindAltered, h.Chain, h.Seq, "entry %d is not the one that its server has signed", h.Seq)
	default:
		w.signed = max(w.signed, h.Seq)
	}
}

// Report says what was found. With whole, each chain must be signed to its end.
func (v *Verifier) Report(whole bool) Report {
	r := Report{Chains: []Verified{}, Findings: v.findings}
	for _, chain := range slices.Sorted(maps.Keys(v.chains)) {
		w := v.chains[chain]
		if w.n == 0 {
			r.Elsewhere = append(r.Elsewhere, chain)
			continue
		}
		if whole && w.signed < w.last.Seq && !slices.ContainsFunc(v.findings, func(f Finding) bool { return f.Chain == chain }) {
			r.Findings = append(r.Findings, Finding{KindSignature, chain, w.last.Seq, fmt.Sprintf("no server has signed what follows entry %d", w.signed)})
		}
		r.Chains = append(r.Chains, Verified{chain, w.n, w.last.Hash, w.signed})
	}
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Seq, b.Seq)) })
	return r
}

// VerifyJournal holds a server's journal against the heads that were published. A chain of the node that has a head must be there.
func VerifyJournal(dir, node string, heads []Head, authorities []*x509.Certificate) (Report, error) {
	v := NewVerifier(authorities)
	err := ReadAll(dir, func(e Entry) error { v.Entry(e); return nil })
	if errors.Is(err, ErrMalformed) {
		v.found(KindMalformed, "", 0, "%v", err)
		err = nil
	}
	for _, h := range heads {
		v.Head(h, strings.HasPrefix(h.Chain, node+"/"))
	}
	return v.Report(false), err
}
