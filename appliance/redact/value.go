package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"
)

// Values is every form in which the content of a file with a secret turns up elsewhere: as it is, line by line, as base64 as
// in kubeconfigs, and what a PEM block holds.
func Values(content []byte) []string {
	text := strings.TrimSpace(string(content))
	values := encodings(content)
	if text != "" {
		values = append(values, encodings([]byte(text))...)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && len(line) >= 16 {
			values = append(values, line)
		}
	}
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return values
		}
		values = append(values, encodings(block.Bytes)...)
	}
}

func encodings(raw []byte) []string {
	if len(raw) == 0 {
		return nil
	}
	return []string{
		string(raw), base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.RawURLEncoding.EncodeToString(raw), hex.EncodeToString(raw),
	}
}
