// Package docs carries the operator's pages in the executable, so that they are there where there is no network.
package docs

import "embed"

// Pages holds operator/*.md and operator/problems/*.md.
//
//go:embed operator/*.md operator/problems/*.md
var Pages embed.FS
