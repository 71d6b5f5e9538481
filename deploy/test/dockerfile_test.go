package deploytest

import (
	"debug/elf"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/version"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	dockerfileparser "github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// dockerfile is a parsed Dockerfile.
type dockerfile struct {
	stages []instructions.Stage
}

// parseDockerfile reads a Dockerfile with BuildKit's parser and linter; what the
// linter warns of is an error.
func parseDockerfile(text string) (*dockerfile, error) {
	tree, err := dockerfileparser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var warnings []error
	for _, w := range tree.Warnings {
		warnings = append(warnings, errors.New(w.Short))
	}
	lint := linter.New(&linter.Config{
		Warn: func(rule, _, _, message string, _ []dockerfileparser.Range) {
			warnings = append(warnings, fmt.Errorf("%s: %s", rule, message))
		},
	})
	stages, args, err := instructions.Parse(tree.AST, lint)
	if err != nil {
		return nil, err
	}
	if len(stages) == 0 {
		return nil, errors.New("no stage")
	}
	// FROM sees the ARGs in front of the first stage, with their defaults.
	var env []string
	for _, arg := range args {
		for _, kv := range arg.Args {
			env = append(env, kv.Key+"="+kv.ValueString())
		}
	}
	lex := shell.NewLex(tree.EscapeToken)
	for i := range stages {
		if stages[i].BaseName, _, err = lex.ProcessWord(stages[i].BaseName, shell.EnvsFromSlice(env)); err != nil {
			return nil, err
		}
	}
	return &dockerfile{stages}, errors.Join(warnings...)
}

// stage returns the stage of a name, or nil. It is one in front of stages[before].
func (d *dockerfile) stage(name string, before int) *instructions.Stage {
	for i := range d.stages[:before] {
		if strings.EqualFold(d.stages[i].Name, name) {
			return &d.stages[i]
		}
	}
	return nil
}

// named returns the stage of a name, wherever it is, or nil.
func (d *dockerfile) named(name string) *instructions.Stage {
	return d.stage(name, len(d.stages))
}

func (d *dockerfile) last() *instructions.Stage { return &d.stages[len(d.stages)-1] }

// commands returns the commands that make up a stage, those of the stages that it
// is built on first, and the image at the bottom.
func (d *dockerfile) commands(s *instructions.Stage) (all []instructions.Command, image string) {
	image = s.BaseName
	if base := d.stage(s.BaseName, slices.IndexFunc(d.stages, func(o instructions.Stage) bool { return o.Name == s.Name })); base != nil {
		all, image = d.commands(base)
	}
	return append(all, s.Commands...), image
}

// has says whether a COPY puts a file at the path in the stage.
func (d *dockerfile) has(s *instructions.Stage, file string) bool {
	commands, _ := d.commands(s)
	return slices.ContainsFunc(commands, func(c instructions.Command) bool {
		copying, ok := c.(*instructions.CopyCommand)
		return ok && copying.DestPath == file
	})
}

// user returns the USER that a stage ends with, or nothing.
func (d *dockerfile) user(s *instructions.Stage) (user string) {
	commands, _ := d.commands(s)
	for _, c := range commands {
		if c, ok := c.(*instructions.UserCommand); ok {
			user = c.User
		}
	}
	return user
}

func TestDockerfile(t *testing.T) {
	testCheck(t, checkDockerfile, []mistake{
		{"an unknown instruction", dockerfileFile, "WORKDIR /src", "WORKDIRS /src", "unknown instruction"},
		{"a lint warning", dockerfileFile, "FROM go AS build", "FROM go as build", "FromAsCasing"},
		{"a builder without a tag", dockerfileFile, "golang:1.26.8-trixie AS", "golang AS", "has no tag"},
		{"a builder of the latest tag", dockerfileFile, "golang:1.26.8-trixie AS", "golang:latest AS", "has no tag"},
		{"a Go older than go.mod's", dockerfileFile, "golang:1.26.8-trixie AS", "golang:1.25.1-trixie AS", "older than"},
		{"another C library than the final stage's", dockerfileFile, "golang:1.26.8-trixie AS", "golang:1.26.8-bookworm AS", "C library"},
		{"a base without libgcc_s", dockerfileFile, "distroless/cc-debian13", "distroless/base-debian13", "libgcc_s"},
		{"a misspelt source", dockerfileFile, "COPY wasihost ./", "COPY wasmhost ./", "wasmhost: no such file"},
		{"a package that stays behind", dockerfileFile, "COPY wasihost ./wasihost\n", "", "lacks what it compiles: wasihost/"},
		{"a package that goes to the wrong place", dockerfileFile, "COPY wasihost ./wasihost", "COPY wasihost ./host", "lacks what it compiles: wasihost/"},
		{"the module file stays behind", dockerfileFile, "COPY go.mod go.sum ./", "COPY go.sum ./", "lacks what it compiles: go.mod"},
		{"a package that is ignored", dockerignoreFile, "!wasihost\n", "", "lacks what it compiles: wasihost/"},
		{"sources that are ignored", dockerignoreFile, "**/*_test.go", "**/*.go", "lacks what it compiles: cmd/wasmton/"},
		{"the example guest is ignored", dockerignoreFile, "!examples/go-processor\n", "", "stage guest lacks what it compiles: examples/go-processor/"},
		{"history goes to the builder", dockerignoreFile, "*\n!go.mod", "!.git\n!go.mod", ".dockerignore lets .git/config go"},
		{"a version that is not there", dockerfileFile, "main.version=", "main.revision=", "main.revision"},
		{"a version that is not an argument", dockerfileFile, "ARG VERSION=dev\nRUN", "RUN", "VERSION"},
		{"a user by name", dockerfileFile, "USER 65532:65532", "USER nonroot:nonroot", "USER nonroot:nonroot"},
		{"root", dockerfileFile, "USER 65532:65532", "USER 0:65532", "USER 0:65532"},
		{"no user", dockerfileFile, "USER 65532:65532\n", "", "no USER"},
		{"a shell that is not there", dockerfileFile, `ENTRYPOINT ["/usr/local/bin/wasmton"]`, "ENTRYPOINT /usr/local/bin/wasmton", "JSON"},
		{"another binary than the one copied", dockerfileFile, `ENTRYPOINT ["/usr/local/bin/wasmton"]`, `ENTRYPOINT ["/wasmton"]`, "/wasmton"},
		{"a command where there is no shell", dockerfileFile, "USER 65532:65532", "RUN mkdir /x\nUSER 65532:65532", "no shell"},
		{"a stage that is not there", dockerfileFile, "COPY --from=build ", "COPY --from=builder ", "builder"},
		{"an output that is not made", dockerfileFile, "-o /out/wasmton", "-o /out/wasm", "/out/wasmton"},
		{"a directory that root owns", dockerfileFile, "--chown=65532:65532 /out/data", "/out/data", "/data"},
		{"an example that is the default", dockerfileFile, "FROM runtime AS wasmton\n", "", "default"},
		{"no version label", dockerfileFile, "      org.opencontainers.image.version=\"${VERSION}\" \\\n", "", "image.version"},
		{"an example on an image without a tag", exampleDockerfileFile, "WASMTON=wasmton:dev", "WASMTON=wasmton", "has no tag"},
		{"an example that goes back to root", exampleDockerfileFile, "COPY processor.wasm", "USER 0\nCOPY processor.wasm", "USER 0"},
		{"an example with another entry point", exampleDockerfileFile, "COPY processor.wasm", "ENTRYPOINT [\"/x\"]\nCOPY processor.wasm", "ENTRYPOINT"},
	})
}

func checkDockerfile(t *testing.T, f files) problems {
	var p problems
	d, err := parseDockerfile(f[dockerfileFile])
	if err != nil {
		p.addf("%s: %v", dockerfileFile, err)
		return p
	}
	checkImages(&p, dockerfileFile, d)
	checkToolchain(t, &p, d)
	checkLibraries(t, &p, d)
	checkSources(t, &p, f, d)
	checkOutputs(&p, d)
	checkVersion(t, &p, d)
	for _, name := range []string{"wasmton", "example"} {
		s := d.named(name)
		if s == nil {
			p.addf("%s has no stage %s", dockerfileFile, name)
			continue
		}
		checkRuntime(&p, d, s)
	}
	if name := d.last().Name; name != "wasmton" {
		p.addf("%s: the default is the last stage, %s; it must be wasmton", dockerfileFile, name)
	}

	e, err := parseDockerfile(f[exampleDockerfileFile])
	if err != nil {
		p.addf("%s: %v", exampleDockerfileFile, err)
		return p
	}
	checkImages(&p, exampleDockerfileFile, e)
	for _, c := range e.last().Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			p.addf("%s: USER %s: leave the base image's", exampleDockerfileFile, c.User)
		case *instructions.EntrypointCommand:
			p.addf("%s: ENTRYPOINT: leave the base image's", exampleDockerfileFile)
		}
	}
	return p
}

// checkImages wants a tag that says which image it is.
func checkImages(p *problems, file string, d *dockerfile) {
	for i, s := range d.stages {
		if d.stage(s.BaseName, i) == nil && !pinned(s.BaseName) {
			p.addf("%s: FROM %s has no tag that pins it", file, s.BaseName)
		}
		for _, c := range s.Commands {
			if c, ok := c.(*instructions.CopyCommand); ok && c.From != "" && d.stage(c.From, i) == nil {
				p.addf("%s: COPY --from=%s: no such stage before", file, c.From)
			}
		}
	}
}

// pinned says whether an image has a tag other than latest.
func pinned(image string) bool {
	name := image[strings.LastIndexByte(image, '/')+1:]
	_, tag, ok := strings.Cut(name, ":")
	return ok && tag != "" && tag != "latest"
}

var (
	golangImage     = regexp.MustCompile(`^golang:([0-9.]+)-([a-z]+)$`)
	distrolessImage = regexp.MustCompile(`/distroless/([a-z]+)-debian([0-9]+):`)
	goDirective     = regexp.MustCompile(`(?m)^go (\S+)$`)
	debianRelease   = map[string]string{"bookworm": "12", "trixie": "13", "forky": "14"}
)

// checkToolchain compares the builder's Go with the modules', and its C library
// with the one that the binary will find.
func checkToolchain(t *testing.T, p *problems, d *dockerfile) {
	for _, s := range d.stages {
		m := golangImage.FindStringSubmatch(s.BaseName)
		if m == nil {
			continue
		}
		for _, mod := range []string{"go.mod", "examples/go-processor/go.mod"} {
			text, err := os.ReadFile(filepath.Join(root, mod))
			if err != nil {
				t.Fatal(err)
			}
			want := goDirective.FindSubmatch(text)
			if want == nil {
				t.Fatalf("%s has no go directive", mod)
			}
			if version.Compare("go"+m[1], "go"+string(want[1])) < 0 {
				p.addf("%s: Go %s is older than the %s that %s asks for", dockerfileFile, m[1], want[1], mod)
			}
		}
		_, image := d.commands(d.last())
		final := distrolessImage.FindStringSubmatch(image)
		if len(final) == 0 || debianRelease[m[2]] != final[2] {
			p.addf("%s: built with the C library of %s, run with that of %s", dockerfileFile, s.BaseName, image)
		}
	}
}

// librariesOf lists the shared libraries in distroless images.
var librariesOf = map[string][]string{
	"base": {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2"},
	"cc":   {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2", "libgcc_s.so.1", "libstdc++.so.6"},
}

// checkLibraries wants in the final image what the binary is linked with. Only a
// binary for Linux tells.
func checkLibraries(t *testing.T, p *problems, d *dockerfile) {
	if runtime.GOOS != "linux" {
		return
	}
	bin, err := elf.Open(wasmtonBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer bin.Close()
	needed, err := bin.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	if len(needed) == 0 {
		t.Fatal("the binary needs no shared library; this check is out of date")
	}
	_, image := d.commands(d.last())
	m := distrolessImage.FindStringSubmatch(image)
	if m == nil {
		p.addf("%s: %s: not known which libraries it has", dockerfileFile, image)
		return
	}
	for _, lib := range needed {
		// The loader itself, ld-linux-x86-64.so.2 or so, comes with the C library.
		if !strings.HasPrefix(lib, "ld-linux") && !slices.Contains(librariesOf[m[1]], lib) {
			p.addf("%s: the binary needs %s, which %s does not have", dockerfileFile, lib, image)
		}
	}
}

// checkOutputs wants what a COPY takes from a stage to be named by a RUN there,
// and a directory, which is for the processor to write to, to be the user's.
func checkOutputs(p *problems, d *dockerfile) {
	for i, s := range d.stages {
		for _, command := range s.Commands {
			c, ok := command.(*instructions.CopyCommand)
			if !ok || c.From == "" {
				continue
			}
			from := d.stage(c.From, i)
			if from == nil {
				continue // checkImages says so
			}
			for _, source := range c.SourcePaths {
				made := slices.ContainsFunc(from.Commands, func(command instructions.Command) bool {
					run, ok := command.(*instructions.RunCommand)
					return ok && slices.Contains(strings.Fields(strings.Join(run.CmdLine, " ")), source)
				})
				if !made {
					p.addf("%s: stage %s takes %s from %s, which does not make it", dockerfileFile, s.Name, source, c.From)
				}
				if path.Base(source) == "data" && c.Chown == "" {
					p.addf("%s: %s is root's, so the processor can't write to it; add --chown", dockerfileFile, c.DestPath)
				}
			}
		}
	}
}

var linkerVariable = regexp.MustCompile(`-X main\.(\w+)=\$\{(\w+)\}`)

// checkVersion wants the version to arrive: the linker takes a name that does not
// exist without a word, and the shell an argument that does not.
func checkVersion(t *testing.T, p *problems, d *dockerfile) {
	s := d.named("build")
	if s == nil {
		return // checkSources says so
	}
	arguments := map[string]bool{}
	found := false
	for _, command := range s.Commands {
		switch c := command.(type) {
		case *instructions.ArgCommand:
			for _, arg := range c.Args {
				arguments[arg.Key] = true
			}
		case *instructions.RunCommand:
			for _, m := range linkerVariable.FindAllStringSubmatch(strings.Join(c.CmdLine, " "), -1) {
				found = true
				if !stringVariable(t, m[1]) {
					p.addf("%s: -X main.%s: cmd/wasmton has no such string variable that the linker can set", dockerfileFile, m[1])
				}
				if !arguments[m[2]] {
					p.addf("%s: ${%s}: no ARG in stage build", dockerfileFile, m[2])
				}
			}
		}
	}
	if !found {
		p.addf("%s: stage build gives the binary no version", dockerfileFile)
	}
}

// stringVariable says whether cmd/wasmton has a package variable that the linker
// can set: a string with no value, or a constant one.
func stringVariable(t *testing.T, name string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "cmd", "wasmton", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range paths {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				spec := spec.(*ast.ValueSpec)
				if len(spec.Names) != 1 || spec.Names[0].Name != name {
					continue
				}
				if len(spec.Values) == 1 {
					lit, ok := spec.Values[0].(*ast.BasicLit)
					return ok && lit.Kind == token.STRING
				}
				typ, ok := spec.Type.(*ast.Ident)
				return ok && typ.Name == "string"
			}
		}
	}
	return false
}

var imageLabels = []string{"title", "description", "source", "version", "revision"}

// checkRuntime checks an image that is run.
func checkRuntime(p *problems, d *dockerfile, s *instructions.Stage) {
	var entrypoint string
	labels := map[string]bool{}
	commands, image := d.commands(s)
	for _, command := range commands {
		switch c := command.(type) {
		case *instructions.EntrypointCommand:
			if c.PrependShell || len(c.CmdLine) != 1 {
				p.addf("%s: ENTRYPOINT must be a JSON list of the binary alone: there is no shell", dockerfileFile)
				continue
			}
			entrypoint = c.CmdLine[0]
		case *instructions.LabelCommand:
			for _, kv := range c.Labels {
				labels[kv.Key] = true
			}
		case *instructions.RunCommand:
			if distrolessImage.MatchString(image) {
				p.addf("%s: stage %s: RUN %s: %s has no shell", dockerfileFile, s.Name, strings.Join(c.CmdLine, " "), image)
			}
		}
	}
	// The kubelet can tell from a number alone that a user is not root.
	user := d.user(s)
	uid, _, _ := strings.Cut(user, ":")
	switch n, err := strconv.Atoi(uid); {
	case user == "":
		p.addf("%s: stage %s has no USER", dockerfileFile, s.Name)
	case err != nil || n <= 0:
		p.addf("%s: stage %s: USER %s is not the number of a user other than root", dockerfileFile, s.Name, user)
	}
	if entrypoint == "" || !d.has(s, entrypoint) {
		p.addf("%s: stage %s: ENTRYPOINT %q is copied by nothing", dockerfileFile, s.Name, entrypoint)
	}
	for _, label := range imageLabels {
		if !labels["org.opencontainers.image."+label] {
			p.addf("%s: stage %s has no label org.opencontainers.image.%s", dockerfileFile, s.Name, label)
		}
	}
}
