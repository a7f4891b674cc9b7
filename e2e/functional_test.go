package e2e

import "testing"

// TestPlatform looks at one running platform from every side. Its parts build upon the first only, and run alone with it:
// go test ./e2e -run 'TestPlatform/(cold_start|policy)'.
func TestPlatform(t *testing.T) {
	p := boot(t, "site")
	step(t, p, "cold start", coldStart)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, p *platform)
	}{
		{"network", network},
		{"names", names},
		{"policy", policy},
		{"volume", volume},
		{"volume too large", volumeTooLarge},
		{"operator", operator},
		{"anonymous", anonymous},
		{"secrets", secrets},
		{"pod security", podSecurity},
		{"node restriction", nodeRestriction},
		{"private files", filesPrivate},
		{"image restored", imageRestored},
		{"versions", versions},
		{"outputs", outputs},
		{"bad answers", badAnswers},
		{"support bundle", supportBundle},
		{"restart", restart},
		{"images", images},
		{"nothing left", nothingLeft},
	} {
		step(t, p, part.name, part.run)
	}
}

// step runs a part as a subtest, with a diagnosis if it fails.
func step(t *testing.T, p *platform, name string, run func(t *testing.T, p *platform)) {
	t.Run(name, func(t *testing.T) {
		before, _ := p.host.NoRouteCount()
		defer func() {
			p.diagnose(t)
			if after, err := p.host.NoRouteCount(); err != nil || after != before {
				t.Logf("%d packets found no route, %v", after-before, err)
			}
		}()
		run(t, p)
	})
}
