package wasm

import "github.com/wasmton/wasmton/wasihost"

// Contract names the guest contract that the module follows, as far as its
// exports tell: "decaton", or "" if it follows none. Whether it follows it to the
// letter is what wasihost.Module.Check says.
func Contract(m *wasihost.Module) string {
	for _, e := range m.Exports() {
		if e.Name == "run" && e.Kind == "func" {
			return "decaton"
		}
	}
	return ""
}
