package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"islet/appliance/pki"
)

// Source is what a backup is made of.
type Source struct {
	// Manifest says whose backup it is; Format and Files are filled in.
	Manifest Manifest
	Config   string // the answer file
	PKI      string // the directory of the authorities
	Database string // a verified snapshot, which nobody writes to
	// Generation counts the recoveries that etcd's data had seen. A restoration begins the next, so that servers which come back
	// with what they had before get a copy of what was restored.
	Generation int
}

// Create writes a sealed backup to w, in one pass with bounded memory.
func Create(ctx context.Context, w io.Writer, to Recipient, s Source) (Manifest, error) {
	m, small, err := s.collect(ctx)
	if err != nil {
		return m, err
	}
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	size, err := sealedSize(tarSize(m, len(raw)), to)
	if err != nil {
		return m, err
	}
	out := &counter{w: w}
	sealed, err := age.Encrypt(out, sealRecipient{Format, to.String(), size}, to.recipient)
	if err != nil {
		return m, fmt.Errorf("seal the backup: %w", err)
	}
	if err := s.write(ctx, sealed, m, raw, small); err != nil {
		return m, err
	}
	if err := sealed.Close(); err != nil {
		return m, fmt.Errorf("write the backup: %w", err)
	}
	if out.n != size {
		return m, fmt.Errorf("the backup has %d bytes, and its seal says %d", out.n, size)
	}
	return m, nil
}

// collect reads the small files and takes the digest of the database.
func (s Source) collect(ctx context.Context) (Manifest, map[string][]byte, error) {
	m := s.Manifest
	config, err := os.ReadFile(s.Config)
	if err != nil {
		return m, nil, fmt.Errorf("back up the answer file: %w", err)
	}
	keys, err := collectPKI(s.PKI)
	if err == nil {
		err = checkPKI(keys)
	}
	if err != nil {
		return m, nil, fmt.Errorf("back up %s: %w", s.PKI, err)
	}
	database, err := digestFile(ctx, s.Database)
	if err != nil {
		return m, nil, fmt.Errorf("back up the datastore: %w", err)
	}
	small := map[string][]byte{configPath: config}
	m.Format, m.Files = Format, []File{fileOf(configPath, config)}
	if m.Datastore.Kind == "etcd" {
		small[generationPath] = fmt.Appendf(nil, "%d\n", s.Generation+1)
		m.Files = append(m.Files, fileOf(generationPath, small[generationPath]))
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		small[pkiFolder+name] = keys[name]
		m.Files = append(m.Files, fileOf(pkiFolder+name, keys[name]))
	}
	database.Path = m.database()
	m.Files = append(m.Files, database)
	return m, small, m.validate(m.Bytes())
}

func fileOf(path string, content []byte) File {
	sum := sha256.Sum256(content)
	return File{path, int64(len(content)), hex.EncodeToString(sum[:])}
}

func digestFile(ctx context.Context, path string) (File, error) {
	file, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, &source{ctx: ctx, r: file})
	return File{path, n, hex.EncodeToString(sum.Sum(nil))}, err
}

// collectPKI reads what cannot be made again: everything but leaves, which the authorities sign anew.
func collectPKI(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	leaf := map[string]bool{}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".crt"); ok {
			cert, err := pki.LoadCert(filepath.Join(dir, e.Name()))
			leaf[name] = err != nil || !cert.IsCA // an authority's that is damaged will be missed
		}
	}
	keys := map[string][]byte{}
	for _, e := range entries {
		name, ending := e.Name(), filepath.Ext(e.Name())
		if !e.Type().IsRegular() || !pkiName.MatchString(name) || ending == ".coming" || leaf[strings.TrimSuffix(name, ending)] {
			continue
		}
		if keys[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// checkPKI looks for what a site cannot do without: each authority with its own key, the key of all service accounts,
// and the key with which secrets are encrypted in the datastore.
func checkPKI(keys map[string][]byte) error {
	for _, name := range pki.AuthorityNames() {
		pair, err := tls.X509KeyPair(keys[name+".crt"], keys[name+".key"])
		if err == nil {
			pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
		}
		if err != nil || !pair.Leaf.IsCA {
			return fmt.Errorf("%w: the authority %s, whole and with its key", ErrIncomplete, name)
		}
	}
	for _, name := range []string{"service-account.key", "encryption.secret"} {
		if len(keys[name]) == 0 {
			return fmt.Errorf("%w: %s", ErrIncomplete, name)
		}
	}
	return nil
}

func (s Source) write(ctx context.Context, w io.Writer, m Manifest, raw []byte, small map[string][]byte) error {
	archive := tar.NewWriter(w)
	member := func(f File) error {
		return archive.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: f.Path, Size: f.Size, Mode: 0o600, ModTime: m.Created.UTC(), Format: tar.FormatGNU,
		})
	}
	err := member(File{Path: manifestPath, Size: int64(len(raw))})
	if err == nil {
		_, err = archive.Write(raw)
	}
	for _, f := range m.Files {
		if err != nil {
			break
		}
		if err = member(f); err != nil {
			break
		}
		if content, ok := small[f.Path]; ok {
			_, err = archive.Write(content)
		} else {
			err = s.writeDatabase(ctx, archive, f)
		}
	}
	if err = errors.Join(err, ctx.Err()); err == nil {
		err = archive.Close()
	}
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// writeDatabase insists on what the digest was taken of.
func (s Source) writeDatabase(ctx context.Context, w io.Writer, f File) error {
	file, err := os.Open(s.Database)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, w), &source{ctx: ctx, r: io.LimitReader(file, f.Size)})
	if err != nil {
		return err
	}
	if n != f.Size || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s changed while it was read", s.Database)
	}
	return nil
}

// tarSize is what write writes: each file after a header, filled up to whole blocks, and two empty blocks.
func tarSize(m Manifest, manifest int) int64 {
	const block = 512
	size := int64(2 * block)
	for _, f := range append([]File{{Size: int64(manifest)}}, m.Files...) {
		size += block + (f.Size+block-1)/block*block
	}
	return size
}

// sealedSize is what a file has when so many bytes are sealed in it. An empty one tells what its header takes.
func sealedSize(content int64, to Recipient) (int64, error) {
	const chunk, overhead = 64 << 10, 16
	header := &counter{w: io.Discard}
	empty, err := age.Encrypt(header, sealRecipient{Format, to.String(), 0}, to.recipient)
	if err != nil {
		return 0, fmt.Errorf("seal the backup: %w", err)
	}
	size := header.n + content + (content+chunk-1)/chunk*overhead
	return size, empty.Close()
}

type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
