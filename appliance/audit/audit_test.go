package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// authority makes certificates of servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nodes"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(1e6 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) server(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func deed(n int) Entry {
	return Entry{Time: now.Add(time.Duration(n) * time.Second), Who: "ann", Verb: "update", Object: fmt.Sprintf("press-dev/configsets.islet.dev/web%d", n), Result: 200, Event: fmt.Sprintf("event-%d", n)}
}

// journal has n deeds behind its beginning, in several files.
func journal(t testing.TB, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "audit")
	j, err := openJournal(dir, "n1", now, 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	for i := range n {
		if err := j.Append(deed(i)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func all(t *testing.T, dir string) (out []Entry) {
	t.Helper()
	if err := ReadAll(dir, func(e Entry) error { out = append(out, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJournalGoesOn(t *testing.T) {
	t.Parallel()
	dir := journal(t, 20)
	files, err := Files(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("%v (%v)", files, err)
	}
	// The power goes while a line is written; the events come again, since nothing has said that they are kept.
	f, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"chain":"n1/`)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(dir, "n1", now, 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	if err := j.Append(deed(18), deed(19), deed(20)); err != nil {
		t.Fatal(err)
	}
	entries := all(t, dir)
	if len(entries) != 22 || entries[0].Verb != VerbBegin || entries[21].Event != "event-20" || entries[21].Seq != 22 || j.Last() != entries[21] {
		t.Errorf("%d entries, the last %+v", len(entries), entries[len(entries)-1])
	}
	v := NewVerifier(nil)
	for _, e := range entries {
		v.Entry(e)
	}
	if r := v.Report(false); r.Worst() != "" {
		t.Errorf("%+v", r)
	}
}

// A journal that was removed is followed by another chain, never by one of the same name.
func TestChainsHaveTheirOwnNames(t *testing.T) {
	t.Parallel()
	if a, b := all(t, journal(t, 0)), all(t, journal(t, 0)); a[0].Chain == b[0].Chain || !strings.HasPrefix(a[0].Chain, "n1/") {
		t.Errorf("%s, %s", a[0].Chain, b[0].Chain)
	}
}

// Each way to change what a server has on its disk, found by the heads that others keep.
func TestTamperingWithAJournal(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	node, other := ca.server(t, "n1"), newAuthority(t).server(t, "n1")
	rehash := func(entries []Entry) []Entry { // by somebody who knows how
		for i := range entries {
			var before *Entry
			if i > 0 {
				before = &entries[i-1]
			}
			entries[i], _ = entries[i].seal(entries[0].Chain, before)
		}
		return entries
	}
	for name, c := range map[string]struct {
		change func([]Entry) []Entry
		want   Kind
	}{
		"untouched":             {func(e []Entry) []Entry { return e }, ""},
		"altered":               {func(e []Entry) []Entry { e[4].Who = "ben"; return e }, KindAltered},
		"altered, hashes too":   {func(e []Entry) []Entry { e[4].Who = "ben"; return rehash(e) }, KindAltered},
		"altered, its own hash": {func(e []Entry) []Entry { e[4].Who = "ben"; e[4].Hash, _ = e[4].sum(); return e }, KindGap},
		"removed":               {func(e []Entry) []Entry { return slices.Delete(e, 4, 5) }, KindGap},
		"removed, hashes too":   {func(e []Entry) []Entry { return rehash(slices.Delete(e, 4, 5)) }, KindCut},
		"the first removed":     {func(e []Entry) []Entry { return e[1:] }, KindGap},
		"exchanged":             {func(e []Entry) []Entry { e[4], e[5] = e[5], e[4]; return e }, KindGap},
		"twice":                 {func(e []Entry) []Entry { return slices.Insert(e, 4, e[4]) }, KindGap},
		"put in, hashes too":    {func(e []Entry) []Entry { return rehash(slices.Insert(e, 4, deed(99))) }, KindAltered},
		"the end cut off":       {func(e []Entry) []Entry { return e[:len(e)-1] }, KindCut},
		"all gone":              {func([]Entry) []Entry { return nil }, KindMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := all(t, journal(t, 10))
			head, err := Sign(entries[len(entries)-1], node, now)
			if err != nil {
				t.Fatal(err)
			}
			v := NewVerifier([]*x509.Certificate{ca.cert})
			for _, e := range c.change(slices.Clone(entries)) {
				v.Entry(e)
			}
			v.Head(head, true)
			if r := v.Report(true); r.Worst() != c.want {
				t.Errorf("found %+v, want %s", r.Findings, c.want)
			}
		})
	}
	// A head that somebody else has signed, or for another node, is none.
	entries := all(t, journal(t, 3))
	for _, by := range []tls.Certificate{other, ca.server(t, "n2")} {
		head, err := Sign(entries[3], by, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := head.Verify([]*x509.Certificate{ca.cert}); !errors.Is(err, ErrSignature) {
			t.Errorf("%v", err)
		}
	}
	head, err := Sign(entries[3], node, now)
	if err != nil {
		t.Fatal(err)
	}
	head.Seq--
	if err := head.Verify([]*x509.Certificate{ca.cert}); !errors.Is(err, ErrSignature) {
		t.Errorf("an altered head: %v", err)
	}
}

// exported is a file of a journal with n deeds, by lines.
func exported(t testing.TB, ca authority, n int) []string {
	t.Helper()
	var out bytes.Buffer
	node := ca.server(t, "n1")
	count, err := Export(&out, Source{Site: "plant", Dir: journal(t, n), Node: node, Authorities: []*x509.Certificate{ca.cert}}, now)
	if err != nil || count != uint64(n)+1 {
		t.Fatalf("%d entries (%v)", count, err)
	}
	return strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// An exported file is verified by itself: a changed, removed or reordered line is found, and an end that was cut off.
func TestTamperingWithAnExport(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		change func([]string) []string
		want   Kind
	}{
		"untouched":               {func(l []string) []string { return l }, ""},
		"a changed entry":         {func(l []string) []string { l[5] = strings.Replace(l[5], "ann", "ben", 1); return l }, KindAltered},
		"a removed entry":         {func(l []string) []string { return slices.Delete(l, 5, 6) }, KindGap},
		"exchanged entries":       {func(l []string) []string { l[5], l[6] = l[6], l[5]; return l }, KindGap},
		"blanks in an entry":      {func(l []string) []string { l[5] = strings.Replace(l[5], `,"seq"`, `, "seq"`, 1); return l }, KindMalformed},
		"the last entry":          {func(l []string) []string { return slices.Delete(l, len(l)-3, len(l)-2) }, KindCut},
		"the last entry and head": {func(l []string) []string { return slices.Delete(l, len(l)-3, len(l)-1) }, KindAltered},
		"the signed end":          {func(l []string) []string { return l[:len(l)-1] }, KindCut},
		"half of the file":        {func(l []string) []string { return l[:len(l)/2] }, KindCut},
		"the end of a line":       {func(l []string) []string { l[4] = strings.TrimSuffix(l[4], "\n"); return l[:5] }, KindCut},
		"the site's name":         {func(l []string) []string { l[0] = strings.Replace(l[0], "plant", "other", 1); return l }, KindAltered},
		"something behind it":     {func(l []string) []string { return append(l, "\n{}\n") }, KindMalformed},
		"another site's end": {func(l []string) []string {
			foreign := exported(t, stranger, 10)
			l[len(l)-1] = foreign[len(foreign)-1]
			return l
		}, KindSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Join(c.change(exported(t, ca, 10)), "")
			if !strings.HasSuffix(text, "\n") && name == "untouched" {
				text += "\n"
			} else if !strings.HasSuffix(text, "\n") && name != "the end of a line" {
				text += "\n"
			}
			about, r, err := VerifyFile(strings.NewReader(text), []*x509.Certificate{ca.cert})
			if err != nil || r.Worst() != c.want {
				t.Errorf("found %+v (%v), want %s", r.Findings, err, c.want)
			}
			if c.want == "" && (about.Site != "plant" || len(r.Chains) != 1 || r.Chains[0].Entries != 11 || r.Chains[0].Signed != 11) {
				t.Errorf("%+v %+v", about, r)
			}
		})
	}
	// Whoever makes all of it anew is found by the authority that is named.
	if _, r, err := VerifyFile(strings.NewReader(strings.Join(exported(t, stranger, 3), "")+"\n"), []*x509.Certificate{ca.cert}); err != nil || r.Worst() != KindSignature {
		t.Errorf("%+v (%v)", r, err)
	}
	for _, text := range []string{"", "{}\n", "hello\n", `{"isletAudit":9}` + "\n"} {
		if _, _, err := VerifyFile(strings.NewReader(text), nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ event, want string }{
		"a command": {`{"auditID":"1","stage":"ResponseComplete","verb":"update","user":{"username":"islet:admin"},"userAgent":"appliance (ann: config set press-dev)","objectRef":{"resource":"configsets","namespace":"press-dev","name":"environment","apiGroup":"islet.dev"},"responseStatus":{"code":200},"sourceIPs":["10.0.0.1"]}`,
			"islet:admin update press-dev/configsets.islet.dev/environment 200 ann: config set press-dev"},
		"kubectl by a member": {`{"auditID":"2","stage":"ResponseComplete","verb":"create","user":{"username":"ann"},"userAgent":"appliance (root: nothing)","objectRef":{"resource":"deployments","namespace":"press-dev","apiGroup":"apps"},"requestObject":{"metadata":{"name":"web"}},"responseStatus":{"code":201}}`,
			"ann create press-dev/deployments.apps/web 201 "},
		"what was refused": {`{"stage":"ResponseComplete","verb":"delete","user":{"username":"eve"},"objectRef":{"resource":"tenants","name":"press","apiGroup":"islet.dev"},"responseStatus":{"code":403}}`, "eve delete tenants.islet.dev/press 403 "},
		"a shell":          {`{"stage":"ResponseComplete","verb":"get","user":{"username":"ann"},"objectRef":{"resource":"pods","namespace":"a","name":"b","subresource":"exec"},"responseStatus":{"code":101}}`, "ann get a/pods/b/exec 101 "},
		"looking":          {`{"stage":"ResponseComplete","verb":"get","user":{"username":"ann"},"objectRef":{"resource":"pods","namespace":"a","name":"b"}}`, ""},
		"the controller":   {`{"stage":"ResponseComplete","verb":"update","user":{"username":"islet:daemon"},"objectRef":{"resource":"configsets","name":"x"}}`, ""},
		"a kubelet":        {`{"stage":"ResponseComplete","verb":"patch","user":{"username":"system:node:n1"},"objectRef":{"resource":"pods","name":"x"}}`, ""},
		"a dry run":        {`{"stage":"ResponseComplete","verb":"create","requestURI":"/api/v1/pods?dryRun=All","user":{"username":"ann"},"objectRef":{"resource":"pods","name":"x"}}`, ""},
		"a question":       {`{"stage":"ResponseComplete","verb":"create","user":{"username":"ann"},"objectRef":{"resource":"selfsubjectaccessreviews","apiGroup":"authorization.k8s.io"}}`, ""},
	} {
		e, ok, err := parseEvent([]byte(c.event))
		got := ""
		if ok {
			got = fmt.Sprintf("%s %s %s %d %s", e.Who, e.Verb, e.Object, e.Result, e.Command)
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %q, want %q (%v)", name, got, c.want, err)
		}
	}
	if got := Agent("ann", []string{"config", "set", "press-dev", "PASSWORD=hunter2", "--pin", "(x)\n"}); got != "appliance (ann: config set press-dev ?x??)" {
		t.Errorf("%q", got)
	}
}

// The API server's log is followed through rotations and restarts, without a gap and without anything twice.
func TestFollow(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), filepath.Join(t.TempDir(), "position.json")
	log := filepath.Join(dir, "audit.log")
	n := 0
	write := func() {
		t.Helper()
		f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		n++
		_, err = fmt.Fprintf(f, `{"auditID":"%d","stage":"ResponseComplete","stageTimestamp":"2026-06-01T12:00:%02dZ","verb":"delete","user":{"username":"ann"},"objectRef":{"resource":"pods","name":"x"}}`+"\n", n, n)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	poll := func() {
		t.Helper()
		f, err := NewFollower(dir, state) // after each restart
		if err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			var entries []Entry
			if entries, more, err = f.Poll(now); err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				got = append(got, e.Event+e.Verb)
			}
			if err := f.Done(); err != nil {
				t.Fatal(err)
			}
		}
	}
	poll()
	write()
	poll()
	write()
	write()
	if err := os.Rename(log, filepath.Join(dir, "audit-2026-06-01T12-00-00.000.log")); err != nil {
		t.Fatal(err)
	}
	write()
	poll()
	poll()
	write()
	poll()
	if want := []string{"1delete", "2delete", "3delete", "4delete", "5delete"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// What was rotated away before it was read is said.
	write()
	if err := os.Rename(log, log+".gone"); err != nil {
		t.Fatal(err)
	}
	write()
	poll()
	if tail := got[5:]; !slices.Equal(tail, []string{VerbLost, "7delete"}) {
		t.Errorf("%q", tail)
	}
}

func FuzzVerifyFile(f *testing.F) {
	ca := newAuthority(f)
	lines := exported(f, ca, 3)
	f.Add([]byte(strings.Join(lines, "") + "\n"))
	f.Add([]byte(lines[0] + lines[len(lines)-2] + lines[1]))
	f.Add([]byte(`{"isletAudit":1}` + "\n{}\n"))
	whole := strings.Join(lines, "") + "\n"
	f.Fuzz(func(t *testing.T, data []byte) {
		_, r, err := VerifyFile(bytes.NewReader(data), []*x509.Certificate{ca.cert})
		if err == nil && r.Worst() == "" && string(data) != whole {
			t.Errorf("another file passes: %q", data)
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"stage":"ResponseComplete","verb":"delete","user":{"username":"ann"},"objectRef":{"resource":"pods","name":"x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, ok, err := parseEvent(data)
		if !ok || err != nil {
			return
		}
		sealed, err := e.seal("n1/x", nil)
		if err != nil {
			return // a year beyond 9999 cannot be written
		}
		raw, err := json.Marshal(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(raw); err != nil || back != sealed {
			t.Errorf("%s (%v)", raw, err)
		}
	})
}
