// Package redact takes secrets out of text that leaves a site: by what they look like, by the name they stand behind, and
// by their value where it is known.
package redact

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Mark stands where a secret was.
const Mark = "[REDACTED]"

// maxLine is the longest line that is looked at, in bytes. A longer one is left out as a whole: half of it could end in
// the middle of a secret.
const maxLine = 1 << 20

// Redactor takes secrets out of text. It holds no state of a text, so it may be used for many at once.
type Redactor struct {
	literals *strings.Replacer // nil without known values
}

// leastLiteral is the shortest known value that is looked for; shorter ones would hit ordinary words.
const leastLiteral = 8

// New makes a Redactor that also knows these values. Short ones are ignored.
func New(values []string) *Redactor {
	var pairs []string
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) }) // the longest first: they may hold each other
	for _, v := range values {
		if len(v) >= leastLiteral {
			pairs = append(pairs, v, Mark)
		}
	}
	if len(pairs) == 0 {
		return &Redactor{}
	}
	return &Redactor{strings.NewReplacer(pairs...)}
}

// Copy copies text from src to dst without secrets, and returns in how many lines it found some. The text may begin and end
// anywhere, also inside a key.
func (r *Redactor) Copy(dst io.Writer, src io.Reader) (lines int, err error) {
	in := bufio.NewReaderSize(src, 64<<10)
	out := bufio.NewWriter(dst)
	s := scanner{redactor: r}
	for {
		line, tooLong, readErr := readLine(in)
		if tooLong > 0 {
			fmt.Fprintf(out, "[a line of %d bytes was left out]\n", tooLong)
		} else if line != "" {
			clean := s.line(line)
			if clean != line {
				lines++
			}
			if _, err := out.WriteString(clean); err != nil {
				return lines, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return lines, out.Flush()
		}
		if readErr != nil {
			return lines, errors.Join(readErr, out.Flush())
		}
	}
}

// String is Copy for a text at hand.
func (r *Redactor) String(text string) string {
	var b strings.Builder
	_, _ = r.Copy(&b, strings.NewReader(text)) // neither side fails
	return b.String()
}

// readLine returns a line with its end, or the length of one that was too long and was skipped.
func readLine(in *bufio.Reader) (line string, tooLong int, err error) {
	var b []byte
	for {
		part, err := in.ReadSlice('\n')
		switch {
		case tooLong > 0:
			tooLong += len(part)
		case len(b)+len(part) > maxLine:
			tooLong = len(b) + len(part)
		default:
			b = append(b, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(b), tooLong, err
		}
	}
}

// scanner is what a line must know of those before it.
type scanner struct {
	redactor *Redactor
	inKey    bool // between the lines that begin and end a private key
	block    int  // below a YAML field whose block is secret: the field's indentation plus one, else 0
	named    bool // the line before was the name of a secret variable
}

func (s *scanner) line(line string) string {
	text := strings.TrimRight(line, "\r\n")
	end := line[len(text):]
	trimmed := strings.TrimSpace(text)
	switch {
	case s.inKey:
		s.inKey = !strings.Contains(text, "-----END")
		return Mark + end
	case s.block > 0 && (trimmed == "" || len(text)-len(strings.TrimLeft(text, " ")) >= s.block):
		return Mark + end
	}
	s.block = 0
	folded := strings.ToLower(text)
	if strings.Contains(folded, "-----begin") {
		text = keyInLine.ReplaceAllString(text, Mark)
		if at := keyBegins.FindStringIndex(text); at != nil {
			s.inKey = true
			return text[:at[0]] + Mark + end
		}
	}
	if len(trimmed) >= leastBase64 && bareBase64.MatchString(trimmed) { // a part of a key, or of a certificate, which nobody needs here
		return Mark + end
	}
	was := s.named
	s.named = false
	if hasAny(folded, secretNeeds) {
		if m := secretBlock.FindStringSubmatchIndex(text); m != nil && !harmlessName(text[m[4]:m[5]]) {
			s.block = m[3] - m[2] + 1
		}
		s.named = strings.Contains(folded, "name") && secretVariable.MatchString(text)
	}
	if was {
		text = variableValue.ReplaceAllString(text, "${1}"+Mark)
	}
	return s.redactor.text(text, folded) + end
}

// text takes out what stands on one line. folded is the line in lower case.
func (r *Redactor) text(text, folded string) string {
	if r.literals != nil {
		text = r.literals.Replace(text)
	}
	for _, p := range patterns {
		if hasAny(folded, p.needs) {
			text = p.redact(text)
		}
	}
	return text
}

func hasAny(folded string, needs []string) bool {
	return slices.ContainsFunc(needs, func(need string) bool { return strings.Contains(folded, need) })
}

// pattern is one kind of secret. needs are words of which a text in lower case holds one, if it holds such a secret: most
// lines are passed by quickly.
type pattern struct {
	needs  []string
	redact func(string) string
}

var (
	keyBegins      = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)
	keyInLine      = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----`)
	bareBase64     = regexp.MustCompile(`^["'|]?[A-Za-z0-9+/_-]{60,}={0,2}["',]*$`)
	secretBlock    = regexp.MustCompile(`(?i)^( *)(?:- )?["']?([\w.-]*(?:` + secretWords + `)[\w.-]*)["']?\s*:\s*[|>][-+0-9]*\s*$`)
	secretVariable = regexp.MustCompile(`(?i)\bname["']?\s*[:=]\s*["']?[\w.-]*(?:` + secretWords + `)[\w.-]*["']?,?\s*$`)
	variableValue  = regexp.MustCompile(`(?i)(\bvalue["']?\s*[:=]\s*).*`)
)

const leastBase64 = 60 // of the lines of PEM, which have 64

const secretWords = `password|passwd|passphrase|secret|token|api[-_]?key|private[-_]?key|key[-_]data|access[-_]?key|credential|auth[-_]?pass|recovery[-_]?key|encryption[-_]?key`

var secretNeeds = []string{"password", "passwd", "passphrase", "secret", "token", "api", "private", "key", "credential", "auth"}

var patterns = []pattern{
	{[]string{"age-secret-key-"}, replace(`(?i)AGE-SECRET-KEY-[0-9A-Z]+`, Mark)},
	{[]string{"islet"}, replace(`(?i)islet[- \t]+0[0-9a-z]{7}(?:[- \t]*[0-9a-z]{1,8}){5,}`, Mark)}, // join.Token, also as people type it
	{[]string{"eyj"}, replace(`eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`, Mark)},                            // RFC 7519
	{[]string{"bearer", "basic"}, replace(`(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{6,}`, "${1}${2}"+Mark)},
	{[]string{"authorization", "cookie", "x-auth"}, replace(`(?i)((?:^|[^/\w-])(?:(?:proxy-)?authorization|(?:set-)?cookie|x-auth[\w-]*)\\*["']?\s*[:=]\s*[\[\\"']*)[^"'\\\]\r\n]+`, "${1}"+Mark)},
	{[]string{"://"}, replace(`(://[^/\s:@"']*):[^/\s@"']+@`, "${1}:"+Mark+"@")},
	{[]string{"$"}, replace(`\$(?:2[abxy]|[156y]|argon2\w*|scrypt)\$[\w./$=,+-]{8,}`, Mark)},                                         // crypt(5)
	{[]string{"auth"}, replace(`("auth\\*"\s*:\s*\\*")[\w+/=]{8,}`, "${1}"+Mark)},                                                    // containers-auth.json(5)
	{[]string{"."}, replace(`(^|[^\w.-])[a-z0-9]{6}\.[a-z0-9]{16}(?:$|[^\w.-])`, "${1}"+Mark)},                                       // a bootstrap token of Kubernetes
	{[]string{`"value`}, replace(`(\\*"name\\*"\s*:\s*\\*"[^"\\]*\\*"\s*,\s*\\*"value\\*"\s*:\s*\\*")(?:[^"\\]|\\.)*`, "${1}"+Mark)}, // variables of a pod, as in audit logs
	{secretNeeds, namedValues},
}

func replace(expression, by string) func(string) string {
	re := regexp.MustCompile(expression)
	return func(text string) string { return re.ReplaceAllString(text, by) }
}

var (
	// A name, what stands between it and its value, and the value: in double quotes, in single ones, in escaped ones, or bare.
	assignment = regexp.MustCompile(`(?i)([\w.-]*(?:` + secretWords + `)[\w.-]*)(\\*["']?\s*(?:[:=]|=>)\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|\\+"[^"\\]*|[^\s"'\\,;&{}\[\]()]+)`)
	option     = regexp.MustCompile(`(?i)((?:^|[\s"'\[(])--?[\w-]*(?:` + secretWords + `)[\w-]*)((?:["']?,)?\s+["']?|["'],["'])([^\s"',\]-][^\s"',\]]*)`)
	harmless   = regexp.MustCompile(`(?i)^(?:["'\\]*(?:true|false|null|none|nil|\d{1,6}(?:\.\d+)?(?:ns|us|ms|s|m|h|d|%)?|` + regexp.QuoteMeta(Mark) + `)?["'\\]*)$`)
	notSecret  = regexp.MustCompile(`(?i)(?:names?|files?|paths?|refs?|dir|ttl|id|ids|count|namespace|type|types|kind|version|controller|provider|providers|expires|expiration|seconds|size|usage|usages|review|reviews)$`)
)

// harmlessName says whether a field tells about a secret and does not hold it, such as secretName.
func harmlessName(name string) bool { return notSecret.MatchString(name) }

// namedValues takes out what stands behind the name of a secret: in JSON, YAML, environments, options and log attributes.
func namedValues(text string) string {
	for _, re := range []*regexp.Regexp{assignment, option} {
		text = replaceFunc(re, text, func(name, between, value string) string {
			if harmlessName(name) || harmless.MatchString(value) {
				return name + between + value
			}
			quote := value[:len(value)-len(strings.TrimLeft(value, `"'\`))]
			tail := ""
			if quote == `"` || quote == `'` {
				tail = quote
			}
			return name + between + quote + Mark + tail
		})
	}
	return text
}

func replaceFunc(re *regexp.Regexp, text string, by func(name, between, value string) string) string {
	var b strings.Builder
	last := 0
	for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(text[last:m[0]] + by(text[m[2]:m[3]], text[m[4]:m[5]], text[m[6]:m[7]]))
		last = m[1]
	}
	if last == 0 {
		return text
	}
	return b.String() + text[last:]
}
