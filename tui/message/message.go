// Package message is the one catalogue of what the terminal UI says, in English and in Simplified Chinese. The English text
// is the key: what a reader of the code sees is what an operator reads. It is not x/text/message, which groups the digits of
// every number it prints (a port would be 6,443) and wants a generated table beside the source.
//
// A test reads the source of the UI and fails for a text that has no translation, or one with other verbs.
package message

import (
	"fmt"
	"maps"
)

// Lang is a language of the UI.
type Lang string

// The languages there are. Anything else is treated as English.
const (
	English Lang = "en"
	Chinese Lang = "zh"
)

// Langs lists the languages in the order in which they are offered.
func Langs() []Lang { return []Lang{English, Chinese} }

// Name is the language in itself.
func (l Lang) Name() string {
	if l == Chinese {
		return "简体中文"
	}
	return "English"
}

// T is a text in this language, with args put in as by fmt.Sprintf. A text without a translation stays as it is: what comes
// from a program (an error, a reason) goes through here, too, and may not be known.
func (l Lang) T(english string, args ...any) string {
	text := english
	if l == Chinese {
		if zh, ok := chinese[english]; ok {
			text = zh
		}
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// Known says whether a text has a translation into every language.
func Known(english string) bool {
	_, ok := chinese[english]
	return ok
}

// chinese is filled by one file for each part of the UI.
var chinese = merge(parts()...)

func parts() []map[string]string {
	return []map[string]string{zhScreen, zhInstall, zhWizard, zhDashboard, zhPlan, zhFar, zhTime, zhValue, zhPaaS}
}

// merge joins the parts. A text that two of them have is a mistake, which a test finds.
func merge(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, p := range parts {
		maps.Copy(all, p)
	}
	return all
}
