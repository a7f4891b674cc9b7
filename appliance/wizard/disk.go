package wizard

import (
	"path/filepath"
	"time"

	"islet/appliance/host"
	"islet/appliance/layout"
	"islet/appliance/preflight"
)

// diskFacts are the filesystems that could hold what a node keeps, and what of one is reserved.
func diskFacts(w *Wizard) []Text {
	var lines []Text
	for _, v := range w.facts.Volumes {
		lines = append(lines, describe(v))
	}
	c, _ := w.configuration()
	return append(lines, textf("the platform takes %s of it; %s are kept free before pods are moved away, and volumes leave %s",
		gib(preflight.PlatformBytes), gib(int64(c.Kubelet.Eviction.Disk)), gib(int64(c.Storage.MinFree))))
}

func describe(v host.Volume) Text {
	if v.Sync == 0 {
		return textf("%s (%s): %s free of %s", v.Point, v.Type, gib(v.FreeBytes), gib(v.TotalBytes))
	}
	return textf("%s (%s): %s free of %s, a write is safe after %s", v.Point, v.Type, gib(v.FreeBytes), gib(v.TotalBytes), milliseconds(v.Sync))
}

// places offers a directory on each filesystem, where there is more than one; else any directory may be typed. The first is
// what follows without an answer.
func places(w *Wizard) []Option {
	if len(w.facts.Volumes) < 2 {
		return nil
	}
	var all []Option
	for i, v := range w.facts.Volumes {
		dir := filepath.Join(v.Point, "appliance")
		if i == 0 {
			dir = layout.Default().StateDir
		}
		all = append(all, Option{dir, textf("%s on %s", dir, v.Point)})
	}
	return all
}

func gib(bytes int64) Text { return textf("%.1f GiB", float64(bytes)/(1<<30)) }

func milliseconds(d time.Duration) Text {
	return textf("%.1f ms", float64(d)/float64(time.Millisecond))
}
