package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"islet/appliance/datastore"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// site is a server with everything that a backup is made of.
type site struct {
	layout layout.Layout
	source Source
	key    Key
}

// newSite makes a site whose database is of so many random bytes.
func newSite(t testing.TB, database int) *site {
	t.Helper()
	s := &site{layout: machine(t)}
	for _, dir := range []string{s.layout.EtcDir, s.layout.Datastore()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	store, err := pki.Open(s.layout.PKI(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.ServiceAccountKey(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Secret("encryption", 32); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Ensure([]pki.Leaf{{Name: "admin", Authority: pki.ClientCA, CommonName: "admin", Client: true}}); err != nil {
		t.Fatal(err)
	}
	if s.key, err = NewKey(); err != nil {
		t.Fatal(err)
	}
	if err := SetSiteRecipient(s.layout, s.key.Recipient()); err != nil {
		t.Fatal(err)
	}
	content := append([]byte(sqlite.magic), make([]byte, database)...)
	if _, err := rand.Read(content[len(sqlite.magic):]); err != nil {
		t.Fatal(err)
	}
	s.source = Source{
		Manifest: Manifest{
			Site: "plant", Node: "node1", Address: netip.MustParseAddr("10.0.0.11"), Appliance: "v0.1.0", Created: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC),
			Datastore: Datastore{Kind: "sqlite", Revision: 42, Rows: 7},
		},
		Config: s.layout.Config(), PKI: s.layout.PKI(), Database: datastore.Database(s.layout),
	}
	write(t, s.source.Config, []byte("kind: Site\n"))
	write(t, s.source.Database, content)
	return s
}

// sqlite is how SQLite's database is kept.
var sqlite = databases["sqlite"]

func machine(t testing.TB) layout.Layout {
	t.Helper()
	dir := t.TempDir()
	return layout.Layout{EtcDir: dir + "/etc", StateDir: dir + "/state", RunDir: dir + "/run"}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// seal makes the backup in memory.
func (s *site) seal(t testing.TB) ([]byte, Manifest) {
	t.Helper()
	var out bytes.Buffer
	m, err := Create(context.Background(), &out, s.key.Recipient(), s.source)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), m
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestCreateAndOpen(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1000, 64 << 10, 128<<10 - 7000, 1 << 20} {
		s := newSite(t, size)
		sealed, made := s.seal(t)
		var database bytes.Buffer
		c, err := Open(t.Context(), bytes.NewReader(sealed), s.key, &database)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if !reflect.DeepEqual(c.Manifest, made) || string(c.Config) != "kind: Site\n" || !bytes.Equal(database.Bytes(), read(t, s.source.Database)) {
			t.Errorf("%d bytes: another content came out: %+v", size, c.Manifest)
		}
		var names []string
		for name, content := range c.PKI {
			names = append(names, name)
			if !bytes.Equal(content, read(t, filepath.Join(s.source.PKI, name))) {
				t.Errorf("%s is another one", name)
			}
		}
		slices.Sort(names)
		if want := []string{"client-ca.crt", "client-ca.key", "cluster-ca.crt", "cluster-ca.key", "encryption.secret", "etcd-ca.crt", "etcd-ca.key", "front-proxy-ca.crt", "front-proxy-ca.key",
			"node-ca.crt", "node-ca.key", "recovery.pub", "service-account.key", "service-account.pub", "site-ca.crt", "site-ca.key"}; !slices.Equal(names, want) {
			t.Errorf("it carries %q", names)
		}
		seal, err := ReadSeal(t.Context(), bytes.NewReader(sealed))
		if want := (Seal{Format, s.key.Recipient().String(), int64(len(sealed))}); err != nil || seal != want {
			t.Errorf("%d bytes: seal %+v (%v), want %+v", size, seal, err, want)
		}
		for _, secret := range [][]byte{c.PKI["site-ca.key"][40:80], c.PKI["encryption.secret"], []byte("10.0.0.11")} {
			if bytes.Contains(sealed, secret) {
				t.Error("a secret can be read without the key")
			}
		}
	}
}

// Every way to shorten a backup is told from every way to change it.
func TestOpenRefusesDamage(t *testing.T) {
	t.Parallel()
	s := newSite(t, 200<<10)
	sealed, _ := s.seal(t)
	for n := 0; n < len(sealed); n += 1 + n/40 {
		if _, err := Open(t.Context(), bytes.NewReader(sealed[:n]), s.key, io.Discard); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := Open(t.Context(), bytes.NewReader(sealed[:len(sealed)-1]), s.key, io.Discard); !errors.Is(err, ErrTruncated) {
		t.Errorf("the last byte is missing: %v", err)
	}
	for n := 0; n < len(sealed); n += 1 + n/40 {
		altered := bytes.Clone(sealed)
		altered[n] ^= 1
		_, err := Open(t.Context(), bytes.NewReader(altered), s.key, io.Discard)
		if !errors.Is(err, ErrAltered) && !errors.Is(err, ErrWrongKey) && n > len(intro)+100 || err == nil || errors.Is(err, ErrTruncated) {
			t.Errorf("byte %d altered: %v", n, err)
		}
	}
	last := bytes.Clone(sealed)
	last[len(last)-1] ^= 1
	for name, altered := range map[string][]byte{"its last byte": last, "something behind it": append(bytes.Clone(sealed), 'x')} {
		if _, err := Open(t.Context(), bytes.NewReader(altered), s.key, io.Discard); !errors.Is(err, ErrAltered) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	s, other := newSite(t, 100), newSite(t, 100)
	sealed, _ := s.seal(t)
	newer := bytes.Replace(sealed, []byte("-> "+sealType+" 1 "), []byte("-> "+sealType+" 2 "), 1)
	age1 := new(bytes.Buffer)
	w, err := age.Encrypt(age1, s.key.Recipient().recipient)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		key     Key
		want    error
	}{
		"another key":         {sealed, other.key, ErrWrongKey},
		"newer":               {newer, s.key, ErrNewer},
		"newer, another key":  {newer, other.key, ErrNewer},
		"some other file":     {[]byte(strings.Repeat("hello ", 1000)), s.key, ErrNotBackup},
		"a short other file":  {[]byte("hi"), s.key, ErrNotBackup},
		"some other age file": {age1.Bytes(), s.key, ErrNotBackup},
	} {
		if _, err := Open(t.Context(), bytes.NewReader(c.content), c.key, io.Discard); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), bytes.NewReader(sealed), other.key, io.Discard); !strings.Contains(err.Error(), s.key.Recipient().String()) {
		t.Errorf("it does not tell which key it is: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, bytes.NewReader(sealed), s.key, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	failing := io.MultiReader(bytes.NewReader(sealed[:len(sealed)/2]), failingReader{})
	if _, err := Open(t.Context(), failing, s.key, io.Discard); !errors.Is(err, fs.ErrPermission) || judged(err) {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if _, err := Open(t.Context(), bytes.NewReader(sealed), s.key, failingWriter{}); !errors.Is(err, fs.ErrPermission) || judged(err) {
		t.Errorf("a database that cannot be written: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, fs.ErrPermission }

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, fs.ErrPermission }

// sealAnything seals what anybody can make who knows the public half of the key.
func sealAnything(t testing.TB, to Recipient, content []byte) []byte {
	t.Helper()
	size, err := sealedSize(int64(len(content)), to)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, sealRecipient{Format, to.String(), size}, to.recipient)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type member struct {
	tar.Header
	content []byte
}

// archive packs a manifest of what follows, changed by edit.
func archive(t testing.TB, edit func(*Manifest), members ...member) []byte {
	t.Helper()
	m := Manifest{Format: Format, Site: "plant", Node: "node1", Address: netip.MustParseAddr("10.0.0.11"), Datastore: Datastore{Kind: "sqlite"}}
	for i := range members {
		members[i].Size = int64(len(members[i].content))
		m.Files = append(m.Files, fileOf(members[i].Name, members[i].content))
	}
	if edit != nil {
		edit(&m)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range append([]member{{tar.Header{Name: manifestPath, Size: int64(len(raw))}, raw}}, members...) {
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil && f.Typeflag == tar.TypeReg {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOpenRefusesForgeries(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	config := member{tar.Header{Name: configPath}, []byte("kind: Site\n")}
	database := member{tar.Header{Name: sqlite.path}, []byte(sqlite.magic + "x")}
	var keys []member
	carried, err := collectPKI(s.source.PKI)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range carried {
		keys = append(keys, member{tar.Header{Name: pkiFolder + name}, content})
	}
	whole := slices.Concat([]member{config}, keys, []member{database})
	etcd := func(m *Manifest) { m.Datastore.Kind = "etcd" }
	ofEtcd := func(shift int) []member {
		page := slices.Concat(make([]byte, 16+shift), []byte(databases["etcd"].magic), []byte("x"))
		return slices.Concat([]member{config}, keys, []member{{tar.Header{Name: databases["etcd"].path}, page}})
	}
	without := func(key string) []member {
		return slices.DeleteFunc(slices.Clone(whole), func(m member) bool { return m.Name == pkiFolder+key })
	}
	named := func(name string) member { return member{tar.Header{Name: name}, []byte("x")} }
	for name, c := range map[string]struct {
		plain []byte
		want  error
	}{
		"nothing wrong":         {archive(t, nil, whole...), nil},
		"empty":                 {nil, ErrNotBackup},
		"no archive":            {[]byte(strings.Repeat("hello ", 1000)), ErrNotBackup},
		"no database":           {archive(t, nil, config), ErrNotBackup},
		"no answer file":        {archive(t, nil, database), ErrNotBackup},
		"no authorities":        {archive(t, nil, config, database), ErrIncomplete},
		"an authority missing":  {archive(t, nil, without("cluster-ca.crt")...), ErrIncomplete},
		"an authority's key":    {archive(t, nil, without("cluster-ca.key")...), ErrIncomplete},
		"no key of secrets":     {archive(t, nil, without("encryption.secret")...), ErrIncomplete},
		"no key of accounts":    {archive(t, nil, without("service-account.key")...), ErrIncomplete},
		"a way out":             {archive(t, nil, append([]member{named("pki/../../x")}, whole...)...), ErrNotBackup},
		"another way out":       {archive(t, nil, append([]member{named("/etc/passwd")}, whole...)...), ErrNotBackup},
		"a hidden file":         {archive(t, nil, append([]member{named("pki/.x")}, whole...)...), ErrNotBackup},
		"a file twice":          {archive(t, nil, append([]member{config}, whole...)...), ErrNotBackup},
		"a link":                {archive(t, nil, append([]member{{tar.Header{Name: "pki/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, nil}}, whole...)...), ErrNotBackup},
		"no SQLite":             {archive(t, nil, config, named(sqlite.path)), ErrNotBackup},
		"no kind of datastore":  {archive(t, func(m *Manifest) { m.Datastore.Kind = "paper" }, whole...), ErrNotBackup},
		"another kind's":        {archive(t, func(m *Manifest) { m.Datastore.Kind = "etcd" }, whole...), ErrNotBackup},
		"etcd":                  {archive(t, etcd, ofEtcd(0)...), nil},
		"not etcd's":            {archive(t, etcd, ofEtcd(1)...), ErrNotBackup},
		"another digest":        {archive(t, func(m *Manifest) { m.Files[0].SHA256 = m.Files[1].SHA256 }, whole...), ErrAltered},
		"another size":          {archive(t, func(m *Manifest) { m.Files[0].Size++ }, whole...), ErrAltered},
		"a negative size":       {archive(t, func(m *Manifest) { m.Files[0].Size = -1 }, whole...), ErrNotBackup},
		"larger than the file":  {archive(t, func(m *Manifest) { m.Files[len(m.Files)-1].Size = 1 << 40 }, whole...), ErrNotBackup},
		"another order":         {archive(t, func(m *Manifest) { slices.Reverse(m.Files) }, whole...), ErrNotBackup},
		"one more than listed":  {archive(t, func(m *Manifest) { m.Files = slices.Delete(m.Files, 1, 2) }, whole...), ErrNotBackup},
		"one more at the end":   {archive(t, func(m *Manifest) { m.Files = m.Files[:len(m.Files)-1] }, append(slices.Clip(whole), named("pki/x"))...), ErrNotBackup},
		"one less than listed":  {archive(t, func(m *Manifest) { m.Files = append(m.Files, File{Path: "pki/x"}) }, whole...), ErrNotBackup},
		"a newer manifest":      {archive(t, func(m *Manifest) { m.Format = 2 }, whole...), ErrNewer},
		"no format":             {archive(t, func(m *Manifest) { m.Format = 0 }, whole...), ErrNotBackup},
		"no site":               {archive(t, func(m *Manifest) { m.Site = "" }, whole...), ErrNotBackup},
		"something behind it":   {append(archive(t, nil, whole...), 'x'), ErrNotBackup},
		"without its last part": {archive(t, nil, whole...)[:3000], ErrNotBackup},
	} {
		_, err := Open(t.Context(), bytes.NewReader(sealAnything(t, s.key.Recipient(), c.plain)), s.key, io.Discard)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzOpen reads files that are no backups, and sealed ones that hold anything.
func FuzzOpen(f *testing.F) {
	s := newSite(f, 300)
	sealed, _ := s.seal(f)
	content, err := decrypt(&source{ctx: context.Background(), r: bytes.NewReader(sealed)}, &unsealer{key: s.key})
	if err != nil {
		f.Fatal(err)
	}
	plain, err := io.ReadAll(content)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, false)
	f.Add(plain, true)
	f.Fuzz(func(t *testing.T, data []byte, inside bool) {
		if inside {
			data = sealAnything(t, s.key.Recipient(), data)
		}
		var database bytes.Buffer
		c, err := Open(t.Context(), bytes.NewReader(data), s.key, &database)
		if err != nil && !judged(err) && !errors.Is(err, ErrIncomplete) {
			t.Errorf("an error that says nothing about the file: %v", err)
		}
		if err == nil && (len(c.Config) == 0 && c.Manifest.Files[0].Size > 0 || checkPKI(c.PKI) != nil) {
			t.Errorf("%+v", c.Manifest)
		}
		if database.Len() > len(data) {
			t.Errorf("%d bytes came out of %d", database.Len(), len(data))
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(s *site) error
		want  error
	}{
		"no answer file":         {func(s *site) error { return os.Remove(s.source.Config) }, fs.ErrNotExist},
		"no database":            {func(s *site) error { return os.Remove(s.source.Database) }, fs.ErrNotExist},
		"no authorities":         {func(s *site) error { return os.RemoveAll(s.source.PKI) }, fs.ErrNotExist},
		"an authority's key":     {func(s *site) error { return os.Remove(s.source.PKI + "/node-ca.key") }, ErrIncomplete},
		"another one's key":      {func(s *site) error { return os.Rename(s.source.PKI+"/node-ca.key", s.source.PKI+"/site-ca.key") }, ErrIncomplete},
		"a damaged certificate":  {func(s *site) error { return os.WriteFile(s.source.PKI+"/node-ca.crt", []byte("x"), 0o600) }, ErrIncomplete},
		"no encryption secret":   {func(s *site) error { return os.Remove(s.source.PKI + "/encryption.secret") }, ErrIncomplete},
		"no service account key": {func(s *site) error { return os.Remove(s.source.PKI + "/service-account.key") }, ErrIncomplete},
		"nobody's":               {func(s *site) error { s.source.Manifest.Node = ""; return nil }, ErrNotBackup},
	} {
		s := newSite(t, 10)
		if err := c.spoil(s); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "b"+suffix)
		if _, err := WriteFile(t.Context(), path, s.key.Recipient(), s.source); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v (%v)", name, left, err)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	secret := key.Secret()
	for name, text := range map[string]string{
		"as shown": secret, "with a line break": secret + "\n", "typed": strings.ToLower(secret[:30]) + " \n " + secret[30:],
		"a file of age-keygen": "# created: 2026-06-01\n# public key: " + key.Recipient().String() + "\n" + secret + "\n",
	} {
		if got, err := ParseKey(text); err != nil || got.Secret() != secret {
			t.Errorf("%s: %v", name, err)
		}
	}
	mistyped := []byte(secret)
	mistyped[40] = map[bool]byte{true: 'Q', false: 'P'}[mistyped[40] == 'P']
	for name, text := range map[string]string{
		"nothing": "", "a comment": "# x", "something": "hello", "cut": secret[:50], "mistyped": string(mistyped), "two": secret + "\n" + secret,
		"the public half": key.Recipient().String(), "a password": "correct horse",
	} {
		_, err := ParseKey(text)
		if !errors.Is(err, ErrNotKey) {
			t.Errorf("%s: %v", name, err)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	for _, shown := range []string{fmt.Sprint(key), fmt.Sprintf("%+v %#v %s", key, key, key), fmt.Sprint(key.LogValue())} {
		if strings.Contains(shown, secret[20:]) || strings.Contains(shown, "secretKey") {
			t.Errorf("a key shows its secret: %s", shown)
		}
	}
	l := machine(t)
	if _, err := SiteRecipient(l); !errors.Is(err, ErrNoKey) {
		t.Errorf("no key yet: %v", err)
	}
	if err := SetSiteRecipient(l, key.Recipient()); err != nil {
		t.Fatal(err)
	}
	if r, err := SiteRecipient(l); err != nil || r.String() != key.Recipient().String() {
		t.Errorf("%v (%v)", r, err)
	}
	if bytes.Contains(read(t, recipientPath(l)), []byte(secret[20:])) {
		t.Error("the secret half is on disk")
	}
	write(t, recipientPath(l), []byte("x"))
	if _, err := SiteRecipient(l); !errors.Is(err, ErrNotKey) {
		t.Errorf("a damaged file: %v", err)
	}
}
