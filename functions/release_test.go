//go:build sam

// These tests need make, git, and SAM as pip installs it: run `make sam-test`.
package functions_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// checkout is a copy of what make deploy works on, with a sam that builds and does not deploy.
type checkout struct {
	folder   string
	deployed string // a file with the arguments of the last sam deploy
	path     string
}

func newCheckout(t *testing.T) checkout {
	t.Helper()
	sam, err := exec.LookPath("sam")
	if err != nil {
		t.Fatal(err)
	}
	folder, bin := t.TempDir(), t.TempDir()
	for _, name := range []string{"functions", "shared", "deploy"} {
		if err := os.CopyFS(filepath.Join(folder, name), os.DirFS(filepath.Join("..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Makefile", "go.mod", "go.sum", "samconfig.toml", "template.yaml"} {
		write(t, filepath.Join(folder, name), string(text(t, filepath.Join("..", name))))
	}
	c := checkout{folder, filepath.Join(bin, "deployed"), bin + string(filepath.ListSeparator) + os.Getenv("PATH")}
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = deploy ]; then echo \"$@\" > %q; else exec %q \"$@\"; fi\n", c.deployed, sam)
	if err := os.WriteFile(filepath.Join(bin, "sam"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	// make deploy ENV=prod protects the stack.
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

func text(t *testing.T, path string) []byte {
	t.Helper()
	read, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// commit makes a commit of everything.
func (c checkout) commit(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "--quiet"}, {"add", "--all"},
		{"-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "--quiet", "--allow-empty", "--message=t"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = c.folder
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, said)
		}
	}
}

// make runs make, and returns what it printed.
func (c checkout) make(t *testing.T, args ...string) string {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"--silent"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.folder, &out, &said
	cmd.Env = append(os.Environ(), "PATH="+c.path, "SAM_CLI_TELEMETRY=0")
	if err := cmd.Run(); err != nil {
		t.Fatalf("make %v: %v\n%s%s", args, err, &out, &said)
	}
	return strings.TrimSpace(out.String())
}

// deploy runs make deploy, and returns the release and the hash of each function's program.
func (c checkout) deploy(t *testing.T, env string, args ...string) (release string, programs map[string]string) {
	t.Helper()
	c.make(t, append([]string{"deploy", "ENV=" + env}, args...)...)
	arguments := strings.TrimSpace(string(text(t, c.deployed)))
	_, release, ok := strings.Cut(arguments, " Release=")
	if !ok || !regexp.MustCompile("^[0-9a-f]{40}$").MatchString(release) {
		t.Fatalf("sam %s: without a release", arguments)
	}
	want := "deploy --config-env " + env + " --parameter-overrides file://deploy/" + env + ".yaml "
	if !strings.HasPrefix(arguments, want) {
		t.Errorf("sam %s, want %s…", arguments, want)
	}
	return release, c.programs(t, ".aws-sam/"+env)
}

func (c checkout) programs(t *testing.T, folder string) map[string]string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(c.folder, folder, "*", "bootstrap"))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	hashes := make(map[string]string)
	for _, program := range found {
		name := strings.ToLower(filepath.Base(filepath.Dir(program))) // a logical id, or a folder
		hashes[name] = fmt.Sprintf("%x", sha256.Sum256(text(t, program)))
	}
	return hashes
}

// TestDeploy: make deploy builds what is to be deployed, whatever was built before, and
// the same programs as make build, which measures them.
func TestDeploy(t *testing.T) {
	c := newCheckout(t)
	c.commit(t)
	release, programs := c.deploy(t, "dev")
	c.commit(t)
	again, same := c.deploy(t, "dev")
	if again != release || !maps.Equal(same, programs) {
		t.Errorf("with a commit that changes nothing the release went from %s to %s, the programs from %v to %v", release, again, programs, same)
	}
	c.make(t, "build")
	measured := c.programs(t, "bin/arm64")
	measured["read"] = measured["api"] // two functions of one program
	if !maps.Equal(measured, programs) {
		t.Errorf("make build and make deploy differ: %v, %v", measured, programs)
	}

	if because, same := c.deploy(t, "dev", "REASON=the secret was rotated"); because == release || !maps.Equal(same, programs) {
		t.Errorf("with a reason the release is %s as before, or the programs are others", because)
	}

	// Code that two functions have in common, outside of their own folders.
	common := filepath.Join(c.folder, "shared/pipeline/worker.go")
	before := string(text(t, common))
	after := strings.Replace(before, "GatewayTimeout = 5 * time.Second", "GatewayTimeout = 4 * time.Second", 1)
	if after == before {
		t.Fatal("shared/pipeline/worker.go has no GatewayTimeout to change")
	}
	write(t, common, after)
	changed, now := c.deploy(t, "dev")
	if changed == release || now["payment"] == programs["payment"] || now["deadletter"] == programs["deadletter"] {
		t.Errorf("after a change of %s the release is %s, the programs %v; they were %s and %v", common, changed, now, release, programs)
	}

	// prod has a folder of its own, and Architecture reaches the build.
	c.deploy(t, "prod", "PARAMETERS=Architecture=x86_64")
	for folder, want := range map[string]elf.Machine{"dev": elf.EM_AARCH64, "prod": elf.EM_X86_64} {
		programs, err := filepath.Glob(filepath.Join(c.folder, ".aws-sam", folder, "*", "bootstrap"))
		if err != nil || len(programs) < 6 {
			t.Fatal(programs, err)
		}
		for _, program := range programs {
			file, err := elf.Open(program)
			if err != nil {
				t.Fatal(err)
			}
			if file.Machine != want || file.Section(".debug_info") != nil {
				t.Errorf("%s is for %v, want %v without debug information", program, file.Machine, want)
			}
			_ = file.Close()
		}
	}
}

// TestReleaseIsPublished: a deployment that changes any parameter publishes new versions of
// the functions, one that changes nothing publishes none.
func TestReleaseIsPublished(t *testing.T) {
	var root struct {
		Parameters map[string]struct {
			Default       string   `yaml:"Default"`
			AllowedValues []string `yaml:"AllowedValues"`
		} `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	c := newCheckout(t)
	// A release is of whatever was built.
	if err := os.MkdirAll(filepath.Join(c.folder, ".aws-sam/dev/Api"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.folder, ".aws-sam/dev/Api/bootstrap"), "a program")

	release := c.make(t, "release")
	environment := filepath.Join(c.folder, "deploy/dev.yaml")
	kept := string(text(t, environment))
	write(t, environment, kept+"TenantClaim: sub\n")
	if c.make(t, "release") == release {
		t.Errorf("with another parameter in %s the release stays %s", environment, release)
	}
	write(t, environment, kept)

	names := slices.Sorted(maps.Keys(root.Parameters))
	names = slices.DeleteFunc(names, func(name string) bool { return name == "Release" })
	sets := []map[string]string{{"Release": release}, {"Release": c.make(t, "release")}}
	for _, name := range names {
		p := root.Parameters[name]
		value := "https://changed.example"
		if i := slices.IndexFunc(p.AllowedValues, func(v string) bool { return v != p.Default }); i >= 0 {
			value = p.AllowedValues[i]
		} else if n, err := strconv.Atoi(p.Default); err == nil {
			value = strconv.Itoa(n + 1)
		} else if len(p.AllowedValues) == 1 {
			continue // it can't be changed
		}
		sets = append(sets, map[string]string{name: value, "Release": c.make(t, "release", "PARAMETERS="+name+"="+value)})
	}
	if len(sets) < 20 {
		t.Fatalf("only %d parameters found", len(sets)-2)
	}
	translated := translate(t, sets)
	first := translated[0].versions(t)
	if len(first) != 9 {
		t.Errorf("the versions are %v", first)
	}
	if same := translated[1].versions(t); !slices.Equal(same, first) {
		t.Errorf("without a change the versions went from %v to %v", first, same)
	}
	for i, set := range sets[2:] {
		for _, version := range translated[2+i].versions(t) {
			if slices.Contains(first, version) {
				t.Errorf("with %v %s stays", set, version)
			}
		}
	}
	// Lambda publishes no version of a function that is as it was.
	for name, r := range translated[0].Resources {
		if r.Type != "AWS::Lambda::Function" {
			continue
		}
		if got := r.Properties.Environment.Variables["RELEASE"]; fmt.Sprint(got) != "map[Ref:Release]" {
			t.Errorf("%s has the release %v", name, got)
		}
	}
}

// TestCanary: new versions are tested before and after they have the traffic. Without Canary the
// aliases go to them at once, and nothing refers to CodeDeploy's application, which does not
// exist then.
func TestCanary(t *testing.T) {
	translated := translate(t, []map[string]string{{"Canary": "true"}, {"Canary": "false"}})
	for i, deployed := range []bool{true, false} {
		var aliases int
		for name, r := range translated[i].Resources {
			if deployment := strings.HasPrefix(r.Type, "AWS::CodeDeploy::"); deployment && !deployed {
				t.Errorf("there is %s", name)
			}
			if r.Type == "AWS::Lambda::Alias" {
				aliases++
				update, steps := r.UpdatePolicy["CodeDeployLambdaAliasUpdate"].(map[string]any)
				if steps != deployed {
					t.Errorf("%s is deployed in steps: %v, want %v", name, steps, deployed)
				}
				hooks := fmt.Sprint(update["BeforeAllowTrafficHook"], update["AfterAllowTrafficHook"])
				if deployed && name != "StreamAliaslive" && hooks != "map[Ref:Smoke] map[Ref:Smoke]" {
					t.Errorf("%s is tested by %s", name, hooks)
				}
			}
		}
		if aliases != 9 {
			t.Errorf("%d aliases", aliases)
		}
		// Before it has traffic the alias leads to the old version.
		variables := translated[i].Resources["Smoke"].Properties.Environment.Variables
		if smoke := fmt.Sprint(variables["API_FUNCTION"], variables["READ_FUNCTION"]); smoke != "map[Ref:ApiVersionlocal] map[Ref:ReadVersionlocal]" {
			t.Errorf("the smoke test is of %s", smoke)
		}
		if refers := strings.Contains(translated[i].text, `"Ref": "ServerlessDeploymentApplication"`) ||
			strings.Contains(translated[i].text, "${ServerlessDeploymentApplication"); refers != deployed {
			t.Errorf("it refers to the application: %v, want %v", refers, deployed)
		}
	}
}

// TestPermissionsBoundary: every role has the boundary, those too that SAM makes.
func TestPermissionsBoundary(t *testing.T) {
	const want = "map[Fn::If:[HasBoundary map[Ref:PermissionsBoundary] map[Ref:AWS::NoValue]]]"
	var roles int
	for name, r := range translate(t, []map[string]string{{}})[0].Resources {
		if r.Type != "AWS::IAM::Role" {
			continue
		}
		roles++
		if got := fmt.Sprint(r.Properties.PermissionsBoundary); got != want {
			t.Errorf("%s has the boundary %s, want %s", name, got, want)
		}
	}
	if roles < 8 {
		t.Errorf("only %d roles found", roles)
	}
}

// translation is a translated template.
type translation struct {
	text      string
	Resources map[string]struct {
		Type         string
		UpdatePolicy map[string]any
		Properties   struct {
			PermissionsBoundary any
			Environment         struct{ Variables map[string]any }
		}
	}
}

// translate translates the template with each set of parameters.
func translate(t *testing.T, sets []map[string]string) (all []translation) {
	t.Helper()
	var in, out, said bytes.Buffer
	encoder := json.NewEncoder(&in)
	for _, set := range sets {
		if err := encoder.Encode(set); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "../.ci/translate")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	for line := range strings.Lines(out.String()) {
		one := translation{text: line}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if len(all) != len(sets) {
		t.Fatalf("%d translations of %d", len(all), len(sets))
	}
	return all
}

// versions returns the logical ids of the published versions.
func (t translation) versions(tb testing.TB) (ids []string) {
	tb.Helper()
	for id, r := range t.Resources {
		if r.Type == "AWS::Lambda::Version" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
