package configset

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"islet/appliance/paas/v1alpha1"
)

// check holds values against the rules of all layers.
func check(layers Layers, values map[string]Value) []Problem {
	var out []Problem
	for _, l := range layers {
		for _, rule := range l.Spec.Rules {
			v, ok := values[rule.Key]
			if !ok {
				if rule.Required {
					out = append(out, Problem{Key: rule.Key, Text: "it is required, and no layer has it", Missing: true})
				}
				continue
			}
			if err := Check(rule, v); err != nil {
				out = append(out, Problem{Key: rule.Key, Text: fmt.Sprintf("%v (set in layer %s)", err, strings.ToLower(string(v.Layer)))})
			}
		}
	}
	return out
}

// Check says what of a rule a value breaks. It names no secret.
func Check(rule v1alpha1.ConfigRule, v Value) error {
	if rule.Kind != "" && rule.Kind != v.Kind {
		return fmt.Errorf("it is to be of kind %s, and is of kind %s", rule.Kind, v.Kind)
	}
	shown := fmt.Sprintf("%.60q", v.Text)
	if v.Kind == v1alpha1.KindSecret {
		shown = "the secret"
	}
	size, err := measure(rule.Type, v.Text)
	if err != nil {
		return fmt.Errorf("%s %w", shown, err)
	}
	if len(rule.Enum) > 0 && !slices.Contains(rule.Enum, v.Text) {
		return fmt.Errorf("%s is none of %s", shown, strings.Join(rule.Enum, ", "))
	}
	if rule.Pattern != "" {
		pattern, err := regexp.Compile(`^(?:` + rule.Pattern + `)$`)
		if err != nil {
			return fmt.Errorf("the rule's pattern cannot be read: %w", err)
		}
		if !pattern.MatchString(v.Text) {
			return fmt.Errorf("%s does not match %s", shown, rule.Pattern)
		}
	}
	return bounded(rule, shown, size)
}

// measure is what Min and Max bound: the number, or how many characters there are.
func measure(t v1alpha1.ConfigType, text string) (*big.Rat, error) {
	switch t {
	case v1alpha1.TypeInteger:
		n, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil, errors.New("is no whole number")
		}
		return new(big.Rat).SetInt(n), nil
	case v1alpha1.TypeNumber:
		return number(text)
	case v1alpha1.TypeBoolean:
		if text != "true" && text != "false" {
			return nil, errors.New("is neither true nor false")
		}
	case v1alpha1.TypeJSON:
		if !json.Valid([]byte(text)) {
			return nil, errors.New("is no JSON")
		}
	}
	return new(big.Rat).SetInt64(int64(utf8.RuneCountInString(text))), nil
}

// decimal is a number as JSON has it. An exponent of more digits would take memory by the gigabyte.
var decimal = regexp.MustCompile(`^-?[0-9]{1,50}(\.[0-9]{1,50})?([eE][-+]?[0-9]{1,2})?$`)

func number(text string) (*big.Rat, error) {
	if n, ok := new(big.Rat).SetString(text); ok && decimal.MatchString(text) {
		return n, nil
	}
	return nil, errors.New("is no number")
}

func bounded(rule v1alpha1.ConfigRule, shown string, size *big.Rat) error {
	unit := " characters"
	if rule.Type == v1alpha1.TypeInteger || rule.Type == v1alpha1.TypeNumber {
		unit = ""
	}
	switch {
	case rule.Min != nil && size.Cmp(new(big.Rat).SetInt64(*rule.Min)) < 0:
		return fmt.Errorf("%s is less than %d%s", shown, *rule.Min, unit)
	case rule.Max != nil && size.Cmp(new(big.Rat).SetInt64(*rule.Max)) > 0:
		return fmt.Errorf("%s is more than %d%s", shown, *rule.Max, unit)
	}
	return nil
}

// CheckRules says what is wrong with rules themselves.
func CheckRules(rules []v1alpha1.ConfigRule) error {
	byKey := map[string]error{}
	for _, r := range rules {
		_, err := regexp.Compile(`^(?:` + r.Pattern + `)$`)
		switch {
		case err != nil:
			byKey[r.Key] = fmt.Errorf("rule %s: pattern: %w", r.Key, err)
		case r.Min != nil && r.Max != nil && *r.Min > *r.Max:
			byKey[r.Key] = fmt.Errorf("rule %s: min %d is more than max %d", r.Key, *r.Min, *r.Max)
		}
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		errs = append(errs, byKey[key])
	}
	return errors.Join(errs...)
}
