package functions_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// commands is a copy of what deploys, with programs of the test's in place of those that would
// reach AWS. Each of them writes down how it was called.
type commands struct{ folder string }

func newCommands(t *testing.T, programs map[string]string) commands {
	t.Helper()
	c := commands{t.TempDir()}
	for _, name := range []string{"Makefile", "samconfig.toml", "deploy/dev.yaml", "deploy/prod.yaml", "deploy/smoke"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		c.write(t, name, string(text))
	}
	for name, script := range programs {
		c.write(t, filepath.Join("bin", name), "#!/bin/bash\necho \""+name+" $*\" >> calls\n"+script)
	}
	return c
}

func (c commands) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(c.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// run runs a command, and returns what it printed, and the calls that it made.
func (c commands) run(t *testing.T, variables []string, name string, args ...string) (out string, calls []string, err error) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(c.folder, "calls")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = c.folder
	cmd.Env = append(os.Environ(), append(variables, "PATH="+filepath.Join(c.folder, "bin")+":"+os.Getenv("PATH"))...)
	said, err := cmd.CombinedOutput()
	text, _ := os.ReadFile(filepath.Join(c.folder, "calls"))
	return string(said), strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

// TestMakeDeploys: make asks before prod changes, unless told not to; shows a change set without
// making it; and protects prod's stack from being deleted.
func TestMakeDeploys(t *testing.T) {
	t.Parallel()
	c := newCommands(t, map[string]string{
		"sam": `mkdir -p .aws-sam/dev .aws-sam/prod && echo built > .aws-sam/dev/it && echo built > .aws-sam/prod/it`, "aws": "",
	})
	const protect = "aws cloudformation update-termination-protection --enable-termination-protection " +
		"--region us-east-1 --stack-name paylane-prod --output text"
	for _, tt := range []struct {
		args []string
		ends string // of the call of sam deploy, after the release
		then []string
	}{
		{[]string{"deploy"}, "", nil},
		{[]string{"deploy", "ENV=prod"}, "", []string{protect}},
		{[]string{"deploy", "ENV=prod", "CONFIRM=no"}, " --no-confirm-changeset", []string{protect}},
		{[]string{"changeset", "ENV=prod"}, " --no-confirm-changeset --no-execute-changeset", nil},
	} {
		out, calls, err := c.run(t, nil, "make", append([]string{"--silent"}, tt.args...)...)
		if err != nil || len(calls) != 2+len(tt.then) {
			t.Errorf("make %v: %v, calls %q\n%s", tt.args, err, calls, out)
			continue
		}
		_, release, _ := strings.Cut(calls[1], " Release=")
		if len(release) < 40 || release[40:] != tt.ends {
			t.Errorf("make %v calls %q, want the end %q", tt.args, calls[1], tt.ends)
		}
		if got := strings.Join(calls[2:], "\n"); got != strings.Join(tt.then, "\n") {
			t.Errorf("make %v then calls %q, want %q", tt.args, got, tt.then)
		}
	}
}

// TestSmokeOfAStack: make smoke tests a stack at its public URL with a token of its first client,
// or a given one. The client's secret is neither printed nor an argument.
func TestSmokeOfAStack(t *testing.T) {
	t.Parallel()
	aws := func(client, gateway, stage string) string {
		return `case "$*" in
  *ParameterKey==\'Gateway\'*) echo "` + gateway + `" ;;
  *ParameterKey==\'Stage\'*) echo "` + stage + `" ;;
  *ClientId*) echo "` + client + `" ;;
  *UserPoolId*) echo pool ;;
  *TokenUrl*) echo https://token.example ;;
  *ApiUrl*) echo https://api.example ;;
  *describe-user-pool-client*) echo s3cret ;;
esac`
	}
	const curl = `while [ $# -gt 0 ] && [ "$1" != --config ]; do shift; done; cat "${2:-/dev/null}" > config; echo '{"access_token":"tok.en","expires_in":3600}'`
	for _, tt := range []struct {
		name, client, given, token, refused string
		gateway, stage, flags               string
	}{
		{name: "its own client", client: "c1", token: "tok.en", gateway: "simulator", stage: "prod", flags: "--gateway simulator"},
		{name: "a given token", client: "None", given: "other", token: "other", gateway: "stripe", stage: "dev", flags: "--gateway stripe"},
		{name: "live mode", client: "None", given: "other", token: "other", gateway: "stripe", stage: "prod", flags: "--gateway stripe --livemode"},
		{name: "another issuer", client: "None", refused: "set TOKEN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCommands(t, map[string]string{"aws": aws(tt.client, tt.gateway, tt.stage), "curl": curl, "go": ""})
			out, calls, err := c.run(t, []string{"TOKEN=" + tt.given}, "deploy/smoke", "dev")
			if tt.refused != "" {
				if err == nil || !strings.Contains(out, tt.refused) {
					t.Errorf("it says %q with %v", out, err)
				}
				return
			}
			want := "go run ./cmd/paylane smoke --allow-remote " + tt.flags + " --url https://api.example --token " + tt.token
			if err != nil || calls[len(calls)-1] != want {
				t.Errorf("it calls %q with %v, want %q\n%s", calls[len(calls)-1], err, want, out)
			}
			if all := strings.Join(calls, "\n") + out; strings.Contains(all, "s3cret") {
				t.Errorf("the secret is in %s", all)
			}
			if tt.given == "" {
				if config, _ := os.ReadFile(filepath.Join(c.folder, "config")); string(config) != "user = \"c1:s3cret\"\n" {
					t.Errorf("curl has the configuration %q", config)
				}
			}
		})
	}
}
