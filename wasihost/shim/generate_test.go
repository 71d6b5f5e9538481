package shim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheMailboxHasRoomForAll(t *testing.T) {
	type area struct {
		name     string
		at, size int
	}
	var areas []area
	for name, at := range map[string]int{
		"Cursor": Cursor, "Count": Count, "Next": Next, "Yield": Yield, "Status": Status, "Value": Value,
		"OutputLen": OutputLen, "Instance": Instance, "FDCount": FDCount, "FDLimit": FDLimit, "Mute": Mute, "Fault": Fault, "FaultCall": FaultCall,
	} {
		areas = append(areas, area{name, at, 4})
	}
	areas = append(areas,
		area{"FaultAddr", FaultAddr, 8}, area{"FaultLen", FaultLen, 8}, area{"FaultMemory", FaultMemory, 8},
		area{"FDTable", FDTable, FDMax * FDEntry}, area{"Scratch", Scratch, 64},
		area{"Output", Output, OutputSize}, area{"Tasks", Tasks, PageSize - Tasks})
	slices.SortFunc(areas, func(a, b area) int { return a.at - b.at })
	for i, a := range areas[1:] {
		if before := areas[i]; before.at+before.size > a.at {
			t.Errorf("%s lies in %s", a.name, before.name)
		}
		if a.at%min(a.size, 8) != 0 {
			t.Errorf("%s is not aligned", a.name)
		}
	}
	if last := areas[len(areas)-1]; last.at+last.size != PageSize {
		t.Error("the mailbox does not begin with one page")
	}
}

var i32 = func(string) (Type, bool) { return "i>i", true }

func TestGenerate(t *testing.T) {
	code, err := Generate(Variant{
		Calls:  []Func{{"poll_task", "Ii>i"}, {"fd_close", "i>i"}, {"fd_seek", "iIii>i"}},
		Native: i32, Host: i32,
	})
	if err != nil {
		t.Fatal(err)
	}
	front := `(module $wasmton_shim_front
(table $table (export "table") 3 3 funcref)
(func $poll_task (export "0") (param i64 i32) (result i32)
  (call_indirect $table (param i64 i32) (result i32) (local.get 0) (local.get 1) (i32.const 0)))
(func $fd_close (export "1") (param i32) (result i32)
  (call_indirect $table (param i32) (result i32) (local.get 0) (i32.const 1)))
(func $fd_seek (export "2") (param i32 i64 i32 i32) (result i32)
  (call_indirect $table (param i32 i64 i32 i32) (result i32) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 2)))
)
`
	if code.Front != front {
		t.Errorf("front:\n%s", code.Front)
	}
	if !slices.Equal(code.Native, []string{"fd_close", "fd_seek"}) || len(code.Host) != 0 {
		t.Errorf("back imports %v and %v", code.Native, code.Host)
	}
	if strings.Contains(code.Back, "%") {
		t.Error("a name was not filled in")
	}
	if !strings.Contains(code.Back, "(elem (table $table) (i32.const 0) func $poll_task $fd_close $fd_seek)") {
		t.Error("the table is not filled in the calls' order")
	}
}

func TestGenerateTakesWhatIsNeededOnce(t *testing.T) {
	code, err := Generate(Variant{Calls: []Func{{"fd_write", "iiii>i"}, {"path_open", "iiiiiIIii>i"}, {"poll_oneoff", "iiii>i"}}, Native: i32, Host: i32})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"fd_write", "path_open", "path_filestat_get", "clock_time_get"}; !slices.Equal(code.Native, want) {
		t.Errorf("native functions %v, want %v", code.Native, want)
	}
	if want := []string{"drain", "poll"}; !slices.Equal(code.Host, want) {
		t.Errorf("host functions %v, want %v", code.Host, want)
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`\(func (\$\w+)`).FindAllStringSubmatch(code.Back, -1) {
		if seen[m[1]] {
			t.Errorf("function %s stands there twice", m[1])
		}
		seen[m[1]] = true
	}
	if seen["$fd_close"] {
		t.Error("there is a call that nobody asked for")
	}
}

func TestATracedVariantWrapsEachCall(t *testing.T) {
	code, err := Generate(Variant{
		Calls: []Func{{"fd_read", "iiii>i"}, {"fd_close", "i>i"}}, Traced: true, Native: i32, Host: i32,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"func $traced_fd_read $traced_fd_close)", "(call $fd_read ", "(call $native_fd_read ", "(call $host_trace_leave "} {
		if !strings.Contains(code.Back, part) {
			t.Errorf("there is no %q in\n%s", part, code.Back)
		}
	}
}

func TestACommandHasNoRun(t *testing.T) {
	code, err := Generate(Variant{Calls: []Func{{"fd_read", "iiii>i"}}, Command: true, Native: i32, Host: i32})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(code.Back, `"run"`) || !strings.Contains(code.Back, "(call $host_stream_read") {
		t.Error(code.Back)
	}
}

func TestGenerateRefuses(t *testing.T) {
	none := func(string) (Type, bool) { return "", false }
	for _, c := range []struct {
		name    string
		variant Variant
		want    string
	}{
		{"a call that it does not have", Variant{Calls: []Func{{"fd_sync", "i>i"}}, Native: i32, Host: i32}, `the shim has no function "fd_sync"`},
		{"a native function that there is not", Variant{Calls: []Func{{"fd_close", "i>i"}}, Native: none, Host: i32}, `the shim needs native function "fd_close", which the host does not have`},
		{"a host function that there is not", Variant{Calls: []Func{{"fd_write", "iiii>i"}}, Native: i32, Host: none}, `the shim needs host function "drain", which the host does not have`},
	} {
		if _, err := Generate(c.variant); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTypes(t *testing.T) {
	for _, c := range []struct {
		typ       Type
		text, wat string
	}{
		{">", "()", ""},
		{"i>", "(i32)", " (param i32)"},
		{">i", "() -> i32", " (result i32)"},
		{"Ii>i", "(i64, i32) -> i32", " (param i64 i32) (result i32)"},
	} {
		if c.typ.String() != c.text || c.typ.wat() != c.wat {
			t.Errorf("%s: %q, %q", string(c.typ), c.typ, c.typ.wat())
		}
	}
	if got := TypeText([]string{"f32"}, []string{"i32", "v128"}); got != "(f32) -> (i32, v128)" {
		t.Error(got)
	}
}

// TestEveryGuardChecksDescriptors holds the table to the calls' types: what it
// calls a descriptor is an i32 at least.
func TestEveryGuardChecksDescriptors(t *testing.T) {
	for name, g := range guards {
		text := g.function(name, "iiiiiii>i")
		for _, p := range g.readOnly {
			if !strings.Contains(text, fmt.Sprintf("(if (call $fd_readonly (local.get %d))", p)) {
				t.Errorf("%s does not guard parameter %d", name, p)
			}
		}
		if p := g.vectors; p > 0 && !strings.Contains(text, fmt.Sprintf("(local.set %d (call $vectors (i32.const %%call:%s%%) (local.get %d) (local.get %d)))", p+1, name, p, p+1)) {
			t.Errorf("%s does not bound the list of parameter %d:\n%s", name, p, text)
		}
		for _, p := range g.paths {
			if !strings.Contains(text, fmt.Sprintf("(call $long_path (i32.const %%call:%s%%) (local.get %d) (local.get %d))", name, p, p+1)) {
				t.Errorf("%s does not bound the path of parameter %d:\n%s", name, p, text)
			}
		}
		if g.terminal == notTerminal && len(g.readOnly) == 0 && g.vectors == 0 && len(g.paths) == 0 {
			t.Errorf("%s guards nothing", name)
		}
	}
}
