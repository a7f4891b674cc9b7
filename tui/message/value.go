package message

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Say is T for a text that has its values in it already, as it comes from where no screen is known of: a finding, a problem of
// an answer, the reason of a component. It is compared with the templates of the catalogue, and its values, which may be such
// texts themselves, are put into the translation. What fits none stays as it is.
func (l Lang) Say(text string) string {
	if l != Chinese || text == "" {
		return text
	}
	return sayings.get(text)
}

// sayings remembers what was said, since a screen says the same again and again.
var sayings = memory{said: map[string]string{}}

// maxSayings bounds the memory: what programs print is different each time.
const maxSayings = 1000

type memory struct {
	mu   sync.Mutex
	said map[string]string
}

func (m *memory) get(text string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	zh, ok := m.said[text]
	if !ok {
		if len(m.said) >= maxSayings {
			clear(m.said)
		}
		zh = translate(text, maxDepth)
		m.said[text] = zh
	}
	return zh
}

// maxDepth is how deep texts are looked for within values.
const maxDepth = 3

func translate(text string, depth int) string {
	if zh, ok := chinese[text]; ok && !strings.Contains(text, "%") {
		return zh
	}
	if depth == 0 {
		return text
	}
	for _, p := range patterns() {
		values := p.form.FindStringSubmatch(text)
		if values == nil {
			continue
		}
		args := make([]any, 0, len(values)-1)
		for _, v := range values[1:] {
			args = append(args, translate(v, depth-1))
		}
		return fmt.Sprintf(p.zh, args...)
	}
	return text
}

// pattern is a template as what it makes looks like, and its translation, whose verbs all take texts.
type pattern struct {
	form  *regexp.Regexp
	zh    string
	words int // that are fixed
}

// patterns are those of the values' part of the catalogue, the most telling first. They are made when a screen first needs them.
var patterns = sync.OnceValue(func() []pattern {
	var all []pattern
	for _, english := range append(slices.Sorted(maps.Keys(zhValue)), shared...) {
		if !placeholder.MatchString(english) {
			continue
		}
		var form strings.Builder
		words, at, any := 0, 0, `(.+?)`
		if isWeak(english) {
			any = figures
		}
		for _, span := range placeholder.FindAllStringIndex(english, -1) {
			fixed := strings.ReplaceAll(english[at:span[0]], "%%", "%")
			words += len(fixed)
			form.WriteString(regexp.QuoteMeta(fixed) + shape(english[span[0]:span[1]], any))
			at = span[1]
		}
		words += len(english) - at
		form.WriteString(regexp.QuoteMeta(strings.ReplaceAll(english[at:], "%%", "%")))
		all = append(all, pattern{regexp.MustCompile("^(?s:" + form.String() + ")$"), placeholder.ReplaceAllString(chinese[english], "%${1}s"), words})
	}
	slices.SortStableFunc(all, func(a, b pattern) int { return cmp.Compare(b.words, a.words) })
	return all
})

// shared are templates that a screen says itself, too.
var shared = []string{"waiting for %s"}

// placeholder is a verb, with its number where it has one.
var placeholder = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*[\d.]*[a-zA-Z]`)

// figures are values without words: numbers, units, addresses and paths.
const figures = `((?:\S*[\d/]\S*|[KMGT]?i?B)(?: (?:\S*[\d/]\S*|[KMGT]?i?B))*)`

// isWeak says whether a template has so few letters of its own that what any program prints may look like it.
func isWeak(english string) bool {
	const enough = 6
	letters := 0
	for _, r := range placeholder.ReplaceAllString(english, "") {
		if r >= 'a' && r <= 'z' {
			letters++
		}
	}
	return letters < enough && !strings.Contains(english, "%q")
}

// shape is what a verb makes; a text is any.
func shape(verb, any string) string {
	switch verb[len(verb)-1] {
	case 'd':
		return `(-?\d+)`
	case 'f':
		return `(-?[\d.]+)`
	case 'q':
		return `("[^"]*")`
	}
	return any
}
