package wasihost

import (
	"debug/dwarf"
	"slices"
	"strings"
	"sync"
)

// debugInfo finds the places in the source that offsets in a module belong to, where
// the module carries DWARF. Nothing of it is read before the first backtrace that is
// shown: a guest that traps in a loop, and that nobody looks at, costs nothing.
// It is safe for concurrent use.
type debugInfo struct {
	sections  map[string][]byte // by name
	codeStart uint64            // offset of the code section's contents, where addresses count from

	mu     sync.Mutex // guards what follows
	read   bool
	data   *dwarf.Data // nil where it makes no sense
	units  []unit
	places map[uint][]place // by offset; bounded by maxPlaces
}

// unit is one compiled file.
type unit struct {
	entry  *dwarf.Entry
	ranges [][2]uint64
}

// place is a line of the source. function is the one that was inlined there; "" for
// the function that is there in the module.
type place struct {
	function, file string
	line           int
}

const (
	// maxPlaces bounds what is remembered. Guests trap at few places.
	maxPlaces = 4096
	// maxInlined bounds how many inlined functions are told of at one offset.
	maxInlined = 16
	// minUnit is the least that a unit's header takes.
	minUnit = 12
)

// newDebugInfo returns nil where a module has no DWARF.
func newDebugInfo(o outline) *debugInfo {
	if o.codeStart == 0 || o.debug[".debug_info"] == nil || o.debug[".debug_line"] == nil || o.debug[".debug_abbrev"] == nil {
		return nil
	}
	return &debugInfo{sections: o.debug, codeStart: uint64(o.codeStart)}
}

// resolve gives the frames their files and lines, and adds those of inlined
// functions, innermost first. A nil debugInfo returns them as they are.
func (d *debugInfo) resolve(frames []Frame) []Frame {
	if d == nil {
		return frames
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Frame
	for _, f := range frames {
		for _, p := range d.at(f.Offset) {
			g := f
			g.File, g.Line = p.file, p.line
			if p.function != "" {
				g.Func, g.Inlined = readable(p.function), true
			}
			all = append(all, g)
		}
		if len(d.at(f.Offset)) == 0 {
			all = append(all, f)
		}
	}
	return all
}

// at returns the places of an offset, innermost first; the last is the one in the
// function itself. d.mu is held.
func (d *debugInfo) at(offset uint) []place {
	if p, ok := d.places[offset]; ok {
		return p
	}
	if len(d.places) >= maxPlaces || d.places == nil {
		d.places = map[uint][]place{}
	}
	d.places[offset] = d.find(uint64(offset))
	return d.places[offset]
}

// find looks an offset up. DWARF comes from the guest, and a parser that it brings
// down must not take the host with it.
func (d *debugInfo) find(offset uint64) (places []place) {
	defer func() {
		if recover() != nil {
			places = nil
		}
	}()
	if !d.read {
		d.read = true
		d.parse()
	}
	if d.data == nil || offset < d.codeStart {
		return nil
	}
	pc := offset - d.codeStart
	for _, u := range d.units {
		if contains(u.ranges, pc) {
			return d.inUnit(u, pc)
		}
	}
	return nil
}

func contains(ranges [][2]uint64, pc uint64) bool {
	for _, r := range ranges {
		if r[0] <= pc && pc < r[1] {
			return true
		}
	}
	return false
}

// parse reads the list of units.
func (d *debugInfo) parse() {
	s := d.sections
	data, err := dwarf.New(s[".debug_abbrev"], nil, nil, s[".debug_info"], s[".debug_line"], nil, s[".debug_ranges"], s[".debug_str"])
	if err != nil {
		return
	}
	for _, name := range []string{".debug_addr", ".debug_line_str", ".debug_str_offsets", ".debug_rnglists"} {
		if b := s[name]; b != nil {
			if err := data.AddSection(name, b); err != nil {
				return
			}
		}
	}
	r := data.Reader()
	for at, info := uint64(0), s[".debug_info"]; at+minUnit <= uint64(len(info)); {
		header := mailbox(info[at:])
		first := at + 11 // 32-bit length, version, offset of abbreviations, address size
		if version := header.word(4) & 0xffff; version >= 5 {
			first++ // the unit's type
		}
		next := at + 4 + uint64(header.word(0))
		r.Seek(dwarf.Offset(first))
		if e, err := r.Next(); err == nil && e != nil && e.Tag == dwarf.TagCompileUnit {
			if ranges, err := data.Ranges(e); err == nil && len(ranges) > 0 {
				d.units = append(d.units, unit{e, ranges})
			}
		}
		at = next
	}
	d.data = data
}

// inUnit returns the line at an address and the calls of inlined functions around it.
func (d *debugInfo) inUnit(u unit, pc uint64) []place {
	lines, err := d.data.LineReader(u.entry)
	if err != nil || lines == nil {
		return nil
	}
	here, ok := lineAt(lines, pc)
	if !ok {
		return nil
	}
	dir, _ := u.entry.Val(dwarf.AttrCompDir).(string)
	file := func(name string) string {
		// More than once where the compiler took a relative directory for its own.
		for rest, ok := name, dir != ""; ok; rest, ok = strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
			name = rest
		}
		return name
	}
	var places []place
	at := place{file: file(here.file), line: here.line}
	for _, call := range slices.Backward(d.inlinedAt(u, pc)) {
		at.function = d.name(call, 0)
		places = append(places, at)
		index, _ := call.Val(dwarf.AttrCallFile).(int64)
		line, _ := call.Val(dwarf.AttrCallLine).(int64)
		at = place{line: int(line)}
		if files := lines.Files(); index >= 0 && index < int64(len(files)) && files[index] != nil {
			at.file = file(files[index].Name)
		}
	}
	return append(places, at)
}

// inlinedAt returns the calls of functions that were inlined around an address,
// outermost first.
func (d *debugInfo) inlinedAt(u unit, pc uint64) (calls []*dwarf.Entry) {
	r := d.data.Reader()
	r.Seek(u.entry.Offset)
	if _, err := r.Next(); err != nil {
		return nil
	}
	// The tree is walked down where it may lead to the address. It may be as deep as a
	// hostile guest likes, so nothing here is recursive, and neither SkipChildren nor
	// anything else that is may be called. depth is that of the next entry; once a
	// function has the address, nothing beside it counts any more; skipped, where not
	// 0, is the depth of an entry whose children don't count.
	for depth, found, skipped := 1, 0, 0; depth > found; {
		e, err := r.Next()
		if err != nil || e == nil {
			return calls
		}
		if e.Tag == 0 {
			if depth--; depth == skipped {
				skipped = 0
			}
			continue
		}
		if skipped == 0 {
			switch on, has := d.leadsTo(e, pc); {
			case has:
				if e.Tag == dwarf.TagInlinedSubroutine {
					calls = append(calls, e)
				}
				if !e.Children || len(calls) == maxInlined {
					return calls
				}
				found = depth
			case !on && e.Children:
				skipped = depth
			}
		}
		if e.Children {
			depth++
		}
	}
	return calls
}

// leadsTo reports whether an entry's children may have an address, and whether the
// entry has it itself.
func (d *debugInfo) leadsTo(e *dwarf.Entry, pc uint64) (on, has bool) {
	switch e.Tag {
	case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine, dwarf.TagLexDwarfBlock:
		ranges, err := d.data.Ranges(e)
		has = err == nil && contains(ranges, pc)
		return has, has
	case dwarf.TagNamespace, dwarf.TagModule, dwarf.TagStructType, dwarf.TagClassType, dwarf.TagEnumerationType, dwarf.TagUnionType:
		return true, false
	default:
		return false, false
	}
}

// name is the name of a function, by way of the entry that declares it.
func (d *debugInfo) name(e *dwarf.Entry, steps int) string {
	for _, attr := range []dwarf.Attr{dwarf.AttrLinkageName, dwarf.AttrName} {
		if s, ok := e.Val(attr).(string); ok {
			return s
		}
	}
	for _, attr := range []dwarf.Attr{dwarf.AttrAbstractOrigin, dwarf.AttrSpecification} {
		if at, ok := e.Val(attr).(dwarf.Offset); ok && steps < 4 {
			r := d.data.Reader()
			r.Seek(at)
			if origin, err := r.Next(); err == nil && origin != nil {
				return d.name(origin, steps+1)
			}
		}
	}
	return "an inlined function"
}

// lineAt finds the line at an address. Sequences stand in any order, and those of
// functions that the linker has removed begin where no code is.
func lineAt(lines *dwarf.LineReader, pc uint64) (place, bool) {
	var before, e dwarf.LineEntry
	for first := true; ; first = false {
		if err := lines.Next(&e); err != nil {
			return place{}, false
		}
		if !first && !before.EndSequence && before.Address <= pc && pc < e.Address {
			if before.File == nil {
				return place{}, false
			}
			return place{file: before.File.Name, line: before.Line}, true
		}
		before = e
	}
}
