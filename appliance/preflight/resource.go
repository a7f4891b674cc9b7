package preflight

import (
	"fmt"

	"islet/appliance/config"
)

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
)

// resourceChecks compare what the machine has with what the platform was measured to need.
func resourceChecks(in Input) []Check {
	return []Check{
		check[int]{id: "cpu", title: "Processors", probe: known(in.Facts.CPUs), judge: judgeCPU},
		check[int64]{id: "memory", title: "Memory", probe: known(in.Facts.MemoryBytes), judge: judgeMemory},
		fits(in, "reserved", "Reserved processor time and memory", reservedText(in.Config.Kubelet), "kubelet"),
		check[int64]{id: "swap", title: "Swap", probe: known(in.Facts.SwapBytes), judge: judgeSwap},
		check[uint64]{id: "open-files", title: "Open file limit", probe: known(in.Facts.OpenFiles), judge: judgeOpenFiles},
	}
}

func judgeCPU(count int) verdict {
	v := verdict{status: limits{fail: 1, warn: 2}.judge(float64(count)), found: fmt.Sprintf("%d", count), value: float64(count), unit: "count", threshold: "2 or more"}
	v.advice = unless(v.status, "expect slow starts; give the machine another processor")
	return v
}

// judgeMemory leaves room for what firmware and kernel take: a 2 GiB machine reports about 1.9.
func judgeMemory(n int64) verdict {
	v := verdict{status: limits{fail: 1700 * mebibyte, warn: 3600 * mebibyte}.judge(float64(n)), found: sizeText(n), value: float64(n), unit: "bytes", threshold: "4 GiB or more, 2 GiB at least"}
	v.advice = unless(v.status, "add memory; the platform itself takes about 0.5 GiB, the rest is for pods")
	return v
}

func judgeSwap(n int64) verdict {
	v := verdict{status: Passed, found: "none", value: float64(n), unit: "bytes", threshold: "none"}
	if n > 0 {
		v.status, v.found = Warned, sizeText(n)
		v.advice = "pods run without swap, but a swapping host makes them slow: swapoff -a, and remove it from /etc/fstab"
	}
	return v
}

func judgeOpenFiles(n uint64) verdict {
	v := verdict{status: limits{fail: 4096, warn: 16384}.judge(float64(n)), found: fmt.Sprintf("%d", n), value: float64(n), unit: "count", threshold: "16384 or more, 4096 at least"}
	v.advice = unless(v.status, "raise the hard limit: LimitNOFILE in the unit, or fs.nr_open and /etc/security/limits.conf")
	return v
}

func reservedText(k config.Kubelet) string {
	return fmt.Sprintf("%s and %s", k.SystemReserved.CPU+k.KubeReserved.CPU, k.SystemReserved.Memory+k.KubeReserved.Memory)
}

// fits shows what config.Derive says about the fields at or below the paths; found is what it
// derived from them when it has nothing to say.
func fits(in Input, id, title, found string, paths ...string) Check {
	return check[config.Problems]{id: id, title: title, probe: known(derivedProblems(in, paths)), judge: judgeFit(found)}
}

func judgeFit(found string) func(config.Problems) verdict {
	return func(problems config.Problems) verdict {
		if len(problems) == 0 {
			return verdict{status: Passed, found: found}
		}
		p := problems[0]
		v := verdict{status: Failed, found: p.Path + ": " + p.Message, advice: p.Advice}
		if more := len(problems) - 1; more > 0 {
			v.found += fmt.Sprintf(" (and %d more)", more)
		}
		return v
	}
}
