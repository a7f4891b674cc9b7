package configset

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/v1alpha1"
)

func newReader(t *testing.T) Reader {
	t.Helper()
	keys, err := NewKeys(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return Reader{keys, "press"}
}

// layer reads entries from words: KEY=VALUE is plain, KEY:=VALUE a secret, KEY@=VALUE a file; a ! before the key pins it.
func layer(t *testing.T, r Reader, l v1alpha1.ConfigLayer, words ...string) *v1alpha1.ConfigSet {
	t.Helper()
	set := &v1alpha1.ConfigSet{ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(string(l)), Namespace: "press-right"}, Spec: v1alpha1.ConfigSetSpec{Layer: l}}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		e := v1alpha1.ConfigEntry{Kind: v1alpha1.KindPlain, Value: &value}
		key, e.Pinned = strings.CutPrefix(key, "!")
		key, secret := strings.CutSuffix(key, ":")
		key, file := strings.CutSuffix(key, "@")
		if file {
			e.Kind = v1alpha1.KindFile
		}
		if secret {
			sealed, err := r.Keys.SiteKey().Seal(r.Tenant, key, value)
			if err != nil {
				t.Fatal(err)
			}
			e.Kind, e.Value, e.Sealed = v1alpha1.KindSecret, nil, &sealed
		}
		e.Key = key
		Put(&set.Spec, e)
	}
	return set
}

func TestEffective(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	base := layer(t, r, v1alpha1.LayerBase, "A=1", "B=1", "S:=one")
	environment := layer(t, r, v1alpha1.LayerEnvironment, "B=2", "C=2", "!S:=two")
	application := layer(t, r, v1alpha1.LayerApplication, "C=3", "app.conf@=text")
	values, problems := r.Effective(Layers{base, environment, application})
	if len(problems) != 0 {
		t.Errorf("%v", problems)
	}
	var got []string
	for _, v := range values {
		got = append(got, v.Key+"="+v.Text+" "+string(v.Kind)+" of "+string(v.Layer))
	}
	want := []string{"A=1 Plain of Base", "B=2 Plain of Environment", "C=3 Plain of Application", "S=two Secret of Environment", "app.conf=text File of Application"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	again, _ := r.Effective(Layers{layer(t, r, v1alpha1.LayerBase, "A=1", "B=2", "C=3", "S:=two", "app.conf@=text")})
	if Revision(values) != Revision(again) || len(Revision(values)) != 10 {
		t.Errorf("equal values, sealed apart and from other layers, have revisions %s and %s", Revision(values), Revision(again))
	}
	for _, other := range []string{"A=2", "A@=1", "D=1"} {
		more, _ := r.Effective(Layers{base, environment, application, layer(t, r, v1alpha1.LayerApplication, other)})
		if Revision(more) == Revision(values) {
			t.Errorf("%s does not change the revision", other)
		}
	}
	if shown := Find(values, "S").Shown(); strings.Contains(shown, "two") || Find(values, "T") != nil {
		t.Errorf("a secret is shown as %s", shown)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	n := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		rule  v1alpha1.ConfigRule
		entry string
		want  string // a part of the problem; empty for none
	}{
		"whole number":          {v1alpha1.ConfigRule{Type: v1alpha1.TypeInteger, Min: n(1), Max: n(65535)}, "K=8080", ""},
		"no whole number":       {v1alpha1.ConfigRule{Type: v1alpha1.TypeInteger}, "K=80.5", `"80.5" is no whole number (set in layer environment)`},
		"too small":             {v1alpha1.ConfigRule{Type: v1alpha1.TypeInteger, Min: n(1)}, "K=0", "less than 1 "},
		"too large":             {v1alpha1.ConfigRule{Type: v1alpha1.TypeNumber, Max: n(1)}, "K=1.01", "more than 1 "},
		"a number":              {v1alpha1.ConfigRule{Type: v1alpha1.TypeNumber, Max: n(1)}, "K=1e-3", ""},
		"a fraction":            {v1alpha1.ConfigRule{Type: v1alpha1.TypeNumber}, "K=1/3", "is no number"},
		"a number of gigabytes": {v1alpha1.ConfigRule{Type: v1alpha1.TypeNumber}, "K=1e999999999", "is no number"},
		"boolean":               {v1alpha1.ConfigRule{Type: v1alpha1.TypeBoolean}, "K=yes", "neither true nor false"},
		"JSON":                  {v1alpha1.ConfigRule{Type: v1alpha1.TypeJSON}, "K={", "is no JSON"},
		"enum":                  {v1alpha1.ConfigRule{Enum: []string{"info", "debug"}}, "K=loud", `"loud" is none of info, debug`},
		"pattern, all of it":    {v1alpha1.ConfigRule{Pattern: "[a-z]+|[0-9]+"}, "K=a1", "does not match"},
		"characters":            {v1alpha1.ConfigRule{Min: n(3)}, "K=äö", "less than 3 characters"},
		"a secret's kind":       {v1alpha1.ConfigRule{Kind: v1alpha1.KindSecret}, "K=plain", "is to be of kind Secret"},
		"a secret is not shown": {v1alpha1.ConfigRule{Pattern: "[0-9]+"}, "K:=hunter2", "the secret does not match"},
		"missing":               {v1alpha1.ConfigRule{Required: true}, "OTHER=1", "required"},
		"missing, not required": {v1alpha1.ConfigRule{Type: v1alpha1.TypeInteger}, "OTHER=1", ""},
		"a pattern of nonsense": {v1alpha1.ConfigRule{Pattern: "("}, "K=1", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := layer(t, r, v1alpha1.LayerBase)
			c.rule.Key = "K"
			base.Spec.Rules = []v1alpha1.ConfigRule{c.rule}
			_, problems := r.Effective(Layers{base, layer(t, r, v1alpha1.LayerEnvironment, c.entry)})
			if got := Summary(problems); c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if err := CheckRules([]v1alpha1.ConfigRule{{Key: "A", Pattern: "("}, {Key: "B", Min: n(2), Max: n(1)}, {Key: "C", Pattern: "x"}}); err == nil || !strings.Contains(err.Error(), "rule A") || !strings.Contains(err.Error(), "rule B") || strings.Contains(err.Error(), "rule C") {
		t.Errorf("%v", err)
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	public, err := ParseSiteKey(r.Keys.SiteKey().String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := public.Seal("press", "PASSWORD", "hunter2")
	if err != nil || strings.Contains(sealed, "hunter2") {
		t.Fatalf("%s (%v)", sealed, err)
	}
	if text, err := r.Keys.Open("press", "PASSWORD", sealed); err != nil || text != "hunter2" {
		t.Errorf("%q (%v)", text, err)
	}
	other, err := NewKeys(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys                Keys
		tenant, key, sealed string
		want                error
	}{
		"another site":   {other, "press", "PASSWORD", sealed, ErrOtherSite},
		"another tenant": {r.Keys, "bakery", "PASSWORD", sealed, ErrOtherPlace},
		"another key":    {r.Keys, "press", "GREETING", sealed, ErrOtherPlace},
		"nothing":        {r.Keys, "press", "PASSWORD", "", ErrNotSealed},
		"altered":        {r.Keys, "press", "PASSWORD", strings.Replace(sealed, "\n-----END", "A\n-----END", 1), ErrNotSealed},
	} {
		if text, err := c.keys.Open(c.tenant, c.key, c.sealed); !errors.Is(err, c.want) || text != "" {
			t.Errorf("%s: %q (%v)", name, text, err)
		}
	}
	if a, b := r.Keys.Digest("press", "x"), r.Keys.Digest("bakery", "x"); a == b || a == other.Digest("press", "x") || len(a) != 16 {
		t.Errorf("digests %s and %s", a, b)
	}
	if _, err := ParseSiteKey("AGE-SECRET-KEY-1"); !errors.Is(err, ErrNotSiteKey) {
		t.Errorf("%v", err)
	}
	if _, err := public.Seal("press", "K", strings.Repeat("x", largestSecret+1)); err == nil {
		t.Error("a secret without bound")
	}
}

// The derived keys stay what they are: values that were sealed once are to be read for ever.
func TestKeysAreDerived(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	const want = "age1k4fnk6w2tfhtvndpnujuu5nvffpdeq3cj8myzn4mpv97kh2wuu5qc3s22y"
	if got := r.Keys.SiteKey().String(); got != want {
		t.Errorf("%s", got)
	}
	if got := r.Keys.Digest("press", "x"); got != "0837fb28d0aaef4d" {
		t.Errorf("digest %s", got)
	}
}

func TestBech32(t *testing.T) {
	t.Parallel()
	for range 20 {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		// What age writes, taken apart and put together again.
		const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
		text := strings.ToLower(identity.String())
		prefix, rest, _ := strings.Cut(text, "1")
		var data []byte
		bits, n := uint32(0), 0
		for _, c := range rest[:len(rest)-6] {
			bits, n = bits<<5|uint32(strings.IndexRune(alphabet, c)), n+5
			if n >= 8 {
				n -= 8
				data = append(data, byte(bits>>n))
			}
		}
		if got := bech32(prefix, data); got != text {
			t.Errorf("%s, want %s", got, text)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	base := layer(t, r, v1alpha1.LayerBase, "SAME=1", "LEFT=1", "RIGHT=1", "BOTH=1", "ALIKE=1", "S:=1")
	left := layer(t, r, v1alpha1.LayerEnvironment, "LEFT=2", "BOTH=2", "ALIKE=2", "NEW=1", "S:=2", "TWICE:=x")
	right := layer(t, r, v1alpha1.LayerEnvironment, "!RIGHT=2", "BOTH=3", "ALIKE=2", "TWICE:=x")
	rows, problems := r.Diff(Sides{Base: base, Left: Layers{base, left}, Right: Layers{base, right}})
	got := map[string]Side{}
	for _, row := range rows {
		got[row.Key] = row.Changed
	}
	want := map[string]Side{"SAME": SideNone, "LEFT": SideLeft, "RIGHT": SideRight, "BOTH": SideBoth, "ALIKE": SideNone, "NEW": SideLeft, "S": SideLeft, "TWICE": SideNone}
	for key, side := range want {
		if got[key] != side {
			t.Errorf("%s: %s, want %s", key, got[key], side)
		}
	}
	if len(rows) != len(want) || len(problems) != 0 {
		t.Errorf("%d rows, %v", len(rows), problems)
	}
	// Of an application only its own keys are compared, by what holds there.
	app := layer(t, r, v1alpha1.LayerApplication, "LEFT=9")
	rows, _ = r.Diff(Sides{Application: "web", Base: base, Left: Layers{base, left, app}, Right: Layers{base, right}})
	if len(rows) != 1 || rows[0].Left.Text != "9" || rows[0].Right.Text != "1" || rows[0].Right.Layer != v1alpha1.LayerBase {
		t.Errorf("%+v", rows)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	// The layers of both environments when they were last synchronised (empty: never), and now.
	for name, c := range map[string]struct {
		lastLeft, lastRight, left, right string
		choice                           Choice
		deed                             Deed
		after                            string // the right's value, shown; - for none
	}{
		"new on the left":                    {"", "", "K=1", "", ChooseNone, DeedSet, "1"},
		"new on the right":                   {"", "", "", "K=1", ChooseNone, DeedKeep, "1"},
		"new on both, alike":                 {"", "", "K=1", "K=1", ChooseNone, "", "1"},
		"new on both":                        {"", "", "K=1", "K=2", ChooseNone, DeedConflict, "2"},
		"new on both, left chosen":           {"", "", "K=1", "K=2", ChooseLeft, DeedSet, "1"},
		"new on both, right chosen":          {"", "", "K=1", "K=2", ChooseRight, DeedKeep, "2"},
		"new on both, skipped":               {"", "", "K=1", "K=2", ChooseSkip, DeedConflict, "2"},
		"changed on the left":                {"K=1", "K=1", "K=2", "K=1", ChooseNone, DeedSet, "2"},
		"changed on the right":               {"K=1", "K=1", "K=1", "K=2", ChooseNone, DeedKeep, "2"},
		"changed on both":                    {"K=1", "K=1", "K=2", "K=3", ChooseNone, DeedConflict, "3"},
		"changed on both, alike":             {"K=1", "K=1", "K=2", "K=2", ChooseNone, "", "2"},
		"unset on the left":                  {"K=1", "K=1", "", "K=1", ChooseNone, DeedUnset, "-"},
		"unset on the right":                 {"K=1", "K=1", "K=1", "", ChooseNone, DeedKeep, "-"},
		"unset on the left, changed right":   {"K=1", "K=1", "", "K=2", ChooseNone, DeedConflict, "2"},
		"unset, left chosen":                 {"K=1", "K=1", "", "K=2", ChooseLeft, DeedUnset, "-"},
		"left different on purpose":          {"K=1", "K=2", "K=1", "K=2", ChooseNone, DeedKeep, "2"},
		"left different, then changed left":  {"K=1", "K=2", "K=3", "K=2", ChooseNone, DeedSet, "3"},
		"pinned right":                       {"K=1", "K=1", "K=2", "!K=1", ChooseLeft, DeedPinned, "1"},
		"pinned left":                        {"", "", "!K=2", "", ChooseLeft, DeedPinned, "-"},
		"pinned right, in conflict":          {"K=1", "K=1", "K=2", "!K=3", ChooseNone, DeedPinned, "3"},
		"a secret":                           {"K:=1", "K:=1", "K:=2", "K:=1", ChooseNone, DeedSet, "(secret)"},
		"a secret, sealed anew":              {"K:=1", "K:=1", "K:=1", "K:=1", ChooseNone, "", "(secret)"},
		"a secret in conflict":               {"K:=1", "K:=1", "K:=2", "K:=3", ChooseNone, DeedConflict, "(secret)"},
		"of another kind":                    {"K=1", "K=1", "K@=1", "K=1", ChooseNone, DeedSet, "1"},
		"gone from both, then new left":      {"", "", "K=1", "", ChooseNone, DeedSet, "1"},
		"a file changed there":               {"K@=1", "K@=1", "K@=1", "K@=2", ChooseNone, DeedKeep, "2"},
		"in conflict, then made alike again": {"K=1", "K=2", "K=5", "K=5", ChooseNone, "", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t)
			of := func(word string) *v1alpha1.ConfigSet {
				if word == "" {
					return layer(t, r, v1alpha1.LayerEnvironment)
				}
				return layer(t, r, v1alpha1.LayerEnvironment, word)
			}
			left, right := of(c.left), of(c.right)
			if c.lastLeft != "" {
				before, err := r.Sync(SyncRequest{From: "press-left", Left: of(c.lastLeft), Right: of(c.lastRight), Choice: ChooseRight}, metav1.Now())
				if err != nil || len(before.Spec.Synced) != 1 {
					t.Fatalf("%+v (%v)", before, err)
				}
				right.Spec.Synced = before.Spec.Synced
			}
			asked := right.DeepCopy()
			plan, err := r.Sync(SyncRequest{From: "press-left", Left: left, Right: right, Choice: c.choice}, metav1.Now())
			if err != nil {
				t.Fatal(err)
			}
			var deed Deed
			if len(plan.Steps) > 0 {
				deed = plan.Steps[0].Deed
			}
			shown := "-"
			if v, err := r.Value(v1alpha1.LayerEnvironment, plan.Spec.Entry("K")); err != nil {
				t.Error(err)
			} else if v != nil {
				shown, _, _ = strings.Cut(v.Shown(), " ")
				shown = strings.Replace(shown, "(secret", "(secret)", 1)
			}
			if deed != c.deed || shown != c.after {
				t.Errorf("%s leaves %s, want %s and %s", deed, shown, c.deed, c.after)
			}
			if deed == DeedConflict != (plan.Conflicts == 1) || plan.Changes() != (deed == DeedSet || deed == DeedUnset) {
				t.Errorf("%+v", plan)
			}
			if !slices.EqualFunc(asked.Spec.Entries, right.Spec.Entries, func(a, b v1alpha1.ConfigEntry) bool { return a.Key == b.Key }) || len(asked.Spec.Synced) != len(right.Spec.Synced) {
				t.Error("planning has changed what it was given")
			}
		})
	}
}

// One conflict keeps all else from being changed, unless it was decided on or skipped; chosen keys are all that is looked at.
func TestSyncOfSeveralKeys(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	left := layer(t, r, v1alpha1.LayerEnvironment, "A=1", "B=1", "C=1")
	right := layer(t, r, v1alpha1.LayerEnvironment, "B=2")
	for _, c := range []struct {
		choice Choice
		keys   []string
		want   string
	}{
		{ChooseNone, nil, "B=2"},
		{ChooseSkip, nil, "A=1 B=2 C=1"},
		{ChooseLeft, nil, "A=1 B=1 C=1"},
		{ChooseNone, []string{"A"}, "A=1 B=2"},
	} {
		plan, err := r.Sync(SyncRequest{From: "press-left", Left: left, Right: right, Choice: c.choice, Keys: c.keys}, metav1.Now())
		var got []string
		for _, e := range plan.Spec.Entries {
			got = append(got, e.Key+"="+*e.Value)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%q %v: %q, want %q (%v)", c.choice, c.keys, got, c.want, err)
		}
	}
}
