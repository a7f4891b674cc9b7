package redact

import (
	"encoding/base64"
	"strings"
	"testing"
)

// planted are lines with a secret in them: "S3CRET..." is what must go.
var planted = []struct{ name, text string }{
	{"YAML", "password: S3CRETvalue\n"},
	{"YAML quoted", "  dbPassword: \"S3CRET with blanks\"\n"},
	{"YAML in single quotes", "token: 'S3CRETvalue'\n"},
	{"YAML block", "password: |\n  S3CRETone\n  S3CRETtwo\nnext: 1\n"},
	{"variable and value", "- name: DB_PASSWORD\n  value: S3CRETvalue\n"},
	{"variable and value in JSON", "{\"name\": \"API_TOKEN\",\n\"value\": \"S3CRETvalue\"}\n"},
	{"JSON", `{"clientSecret":"S3CRETvalue","a":1}`},
	{"JSON in a log", `{"msg":"{\"password\":\"S3CRETvalue\"}"}`},
	{"JSON with an escaped quote", `{"password":"S3C\"RET-S3CRET"}`},
	{"environment", "PGPASSWORD=S3CRETvalue psql"},
	{"option", "kubectl --token S3CRETvalue get pods"},
	{"option with =", "kubectl --token=S3CRETvalue get pods"},
	{"options in JSON", `["kubectl","--token","S3CRETvalue"]`},
	{"options of Go", `args="[--password, S3CRETvalue]"`},
	{"slog", `level=INFO msg=x password="S3CRETvalue"`},
	{"klog", `I1121 1 file.go:1] "msg" apiToken="S3CRETvalue"`},
	{"header", "Authorization: Bearer S3CRETvalue0123"},
	{"header of a dump", `map[Authorization:[Basic S3CRETvalue0123]]`},
	{"header in JSON", `{"authorization":"Negotiate S3CRETvalue0123"}`},
	{"cookie", "Set-Cookie: session=S3CRETvalue; Path=/"},
	{"URL", "GET https://user:S3CRETvalue@host/path"},
	{"connection", "postgres://app:S3CRETvalue@db:5432/x?sslmode=off"},
	{"kubeconfig token", "    token: S3CRETvalue"},
	{"kubeconfig key", "    client-key-data: S3CRETvaluebase64=="},
	{"any variable of a pod in an audit log", `{"env":[{"name":"PLAIN","value":"S3CRETvalue"},{"name":"B","value":"x\"S3CRET"}],"kept":1}`},
	{"the same in a text", `{"last":"{\"env\":[{\"name\":\"PLAIN\",\"value\":\"S3CRETvalue\"}]}"}`},
	{"docker configuration", `{"auths":{"r":{"auth":"S3CRETvalue012="}}}`},
}

func TestTakesSecretsOut(t *testing.T) {
	t.Parallel()
	for _, c := range planted {
		got := (&Redactor{}).String(c.text)
		if strings.Contains(got, "S3CRET") || !strings.Contains(got, Mark) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// What secrets look like, whatever stands beside them.
func TestKnowsShapes(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\n", 3)
	for name, c := range map[string]struct{ text, secret string }{
		"age key":               {"key AGE-SECRET-KEY-1NXCQRVZJWX2Q8VY8DMKTN end", "NXCQRVZ"},
		"age key typed small":   {"age-secret-key-1nxcqrvzjwx2q8vy8dmktn", "nxcqrvz"},
		"join token":            {"join islet-040g220a-9m00p6dn-7dfzvy79-7jzsr2fm-0qdnz145-bfn8aeh7-pd39zwdr-6csksn0 now", "7dfzvy79"},
		"join token as typed":   {"ISLET-040G220A 9M00P6DN 7DFZVY79 7JZSR2FM 0QDNZ145 BFN8AEH7 PD39ZWDR", "7DFZVY79"},
		"web token":             {"got eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlc2ln here", "eyJpc3Mi"},
		"private key":           {"a\n-----BEGIN EC PRIVATE KEY-----\n" + body + "-----END EC PRIVATE KEY-----\nb\n", "QUJDREVG"},
		"private key, no end":   {"-----BEGIN PRIVATE KEY-----\n" + body, "QUJDREVG"},
		"private key, no begin": {body + "-----END PRIVATE KEY-----\n", "QUJDREVG"},
		"private key on a line": {`{"x":"-----BEGIN PRIVATE KEY-----\nc2hvcnQ=\n-----END PRIVATE KEY-----\n","y":1}`, "c2hvcnQ"},
		"crypt":                 {"root:$6$saltsalt$QJzAbCdEfGh.:19000:", "QJzAbCd"},
		"bcrypt":                {"u:$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234", "abcdefghij"},
		"bootstrap token":       {"using abcdef.0123456789abcdef for", "0123456789abcdef"},
	} {
		got := (&Redactor{}).String(c.text)
		if strings.Contains(got, c.secret) || !strings.Contains(got, Mark) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A bundle without what the trouble is about would be of no use.
func TestLeavesTheRest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"I1121 23:02:19.961880 386 pod_startup_latency_tracker.go:148] \"Observed pod startup duration\" pod=\"islet-system/metrics-server-77c67c685d-zzmxx\"\n",
		"secretName: gateway-certificate\ntokenFile: /var/run/token\nautomountServiceAccountToken: true\n",
		"tokenTTL: 24h\nmaxTokens: 12\npassword: \"\"\n",
		"islet-network-7b5f is ready\nno key but a monkey: banana\n",
		"sha256:060abad9e24c663807fad341601edd087bbc4edc83ca83dfbc52dcd181b9365b imported\n",
		"/apis/authentication.k8s.io/v1/tokenreviews 200\nGET https://10.0.0.1:6443/readyz?verbose\n",
		"1.2.3.4:80 https://host:8443/path@x\nline without an end",
		"\r\n\n",
		`{"name":"legacy-service-account-token-cleaner","apiVersion":"v1","apiserver.latency.k8s.io/authorization":"1.1ms"}` + "\n",
		"replicaset-controller metrics-server.18ba1f2e3d4c5b6a Created pod\n",
	} {
		if got := (&Redactor{}).String(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestKnowsValues(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN EC PRIVATE KEY-----\n" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("the private key ", 9))) + "\n-----END EC PRIVATE KEY-----\n"
	raw := "\x00\x01binary secret\xff"
	r := New(append(Values([]byte(key)), Values([]byte(raw))...))
	for _, text := range []string{
		"data " + base64.StdEncoding.EncodeToString([]byte(key)), "raw " + raw, "der " + strings.Repeat("the private key ", 9),
		"x " + base64.RawURLEncoding.EncodeToString([]byte(raw)), "hex 000162696e61727920736563726574ff",
		"middle " + strings.Split(key, "\n")[1] + " of a line",
	} {
		if got := r.String(text); !strings.Contains(got, Mark) || strings.Contains(got, "private key") {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := New([]string{"short"}).String("a short text"); got != "a short text" {
		t.Errorf("a short value: %q", got)
	}
}

func TestLongLinesAreLeftOut(t *testing.T) {
	t.Parallel()
	got := (&Redactor{}).String("a\n" + strings.Repeat("x", maxLine+1) + "\nb\n")
	if got != "a\n[a line of 1048578 bytes was left out]\nb\n" {
		t.Errorf("%.100q", got)
	}
}

func FuzzRedact(f *testing.F) {
	for _, c := range planted {
		f.Add(c.text, "a-known-secret")
	}
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < leastLiteral || strings.ContainsAny(secret, "\r\n") || strings.Contains(Mark, secret) || strings.Contains(secret, "REDACTED") {
			return
		}
		got := New([]string{secret}).String(text + secret + text)
		if strings.Contains(strings.ReplaceAll(got, Mark, "\n"), secret) {
			t.Errorf("%q in %q", secret, got)
		}
	})
}
