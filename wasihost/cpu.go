package wasihost

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"
)

// CPUNative and CPUBaseline are the levels of EngineConfig.CPU that every
// architecture has: all that this CPU can do, and only what each CPU of the
// architecture can.
const (
	CPUNative   = "native"
	CPUBaseline = "baseline"
)

// architecture is what compiled code depends on beside the operating system. Its
// names are the compiler's: it ends the process over one that it does not know, so
// nothing reaches it that does not stand in the table below.
type architecture struct {
	triple   map[string]string // by operating system
	features []feature
	levels   []level // from the least demanding on
}

// feature is an extension of the instruction set by the name of the compiler's flag,
// which begins with has_.
type feature struct {
	flag string
	has  bool // this CPU has it
}

// level is a set of features under a name that people use.
type level struct {
	name  string
	flags []string
}

var architectures = map[string]architecture{
	"amd64": {
		triple: map[string]string{
			"linux": "x86_64-unknown-linux-gnu", "darwin": "x86_64-apple-darwin",
		},
		features: []feature{
			{"has_sse3", cpu.X86.HasSSE3},
			{"has_ssse3", cpu.X86.HasSSSE3},
			{"has_sse41", cpu.X86.HasSSE41},
			{"has_sse42", cpu.X86.HasSSE42},
			{"has_popcnt", cpu.X86.HasPOPCNT},
			{"has_avx", cpu.X86.HasAVX},
			{"has_avx2", cpu.X86.HasAVX2},
			{"has_fma", cpu.X86.HasFMA},
			{"has_bmi1", cpu.X86.HasBMI1},
			{"has_bmi2", cpu.X86.HasBMI2},
			{"has_lzcnt", cpu.X86.HasLZCNT},
			{"has_avx512f", cpu.X86.HasAVX512F},
			{"has_avx512dq", cpu.X86.HasAVX512DQ},
			{"has_avx512vl", cpu.X86.HasAVX512VL},
			{"has_avx512bitalg", cpu.X86.HasAVX512BITALG},
			{"has_avx512vbmi", cpu.X86.HasAVX512VBMI},
		},
		levels: []level{
			{CPUBaseline, nil},
			{"x86-64-v2", levelV2},
			{"x86-64-v3", levelV3},
			{"x86-64-v4", levelV4},
		},
	},
	"arm64": {
		triple: map[string]string{
			"linux": "aarch64-unknown-linux-gnu", "darwin": "aarch64-apple-darwin",
		},
		features: []feature{{"has_lse", cpu.ARM64.HasATOMICS}},
		levels:   []level{{CPUBaseline, nil}, {"armv8.1-a", []string{"has_lse"}}},
	},
}

var (
	levelV2 = []string{"has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt"}
	levelV3 = slices.Concat(levelV2, []string{"has_avx", "has_avx2", "has_fma", "has_bmi1", "has_bmi2", "has_lzcnt"})
	levelV4 = slices.Concat(levelV3, []string{"has_avx512f", "has_avx512dq", "has_avx512vl"})
)

// CPULevels names the levels that EngineConfig.CPU takes here, native first and then
// from the least demanding on. Some may ask for more than this CPU has.
func CPULevels() []string {
	names := []string{CPUNative}
	for _, l := range architectures[runtime.GOARCH].levels {
		names = append(names, l.name)
	}
	return names
}

// hostFeatures are the features of this CPU, in the table's order.
func hostFeatures() []string {
	var flags []string
	for _, f := range architectures[runtime.GOARCH].features {
		if f.has {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

// cpuLevel returns the features that a level asks for. native is whether the
// compiler is to find out by itself; the flags are then what it finds.
func cpuLevel(name string) (flags []string, native bool, err error) {
	if name == "" || name == CPUNative {
		return hostFeatures(), true, nil
	}
	for _, l := range architectures[runtime.GOARCH].levels {
		if l.name != name {
			continue
		}
		if lacks := missing(l.flags, hostFeatures()); len(lacks) > 0 {
			return nil, false, fmt.Errorf("CPU level %s: this CPU lacks %s, and code can be compiled only where it could run",
				name, featureNames(lacks))
		}
		return l.flags, false, nil
	}
	return nil, false, fmt.Errorf("CPU level %q: it must be one of %s", name, strings.Join(CPULevels(), ", "))
}

// missing returns what is wanted and not there.
func missing(wanted, there []string) []string {
	var lacks []string
	for _, w := range wanted {
		if !slices.Contains(there, w) {
			lacks = append(lacks, w)
		}
	}
	return lacks
}

// featureNames writes features as people do: sse41, avx2.
func featureNames(flags []string) string {
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = strings.TrimPrefix(f, "has_")
	}
	return strings.Join(names, ", ")
}
