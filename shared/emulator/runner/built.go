package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"paylane/shared/emulator"
	"paylane/shared/emulator/dynamostream"
	"paylane/shared/emulator/gobuild"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/runtimeapi"
	"paylane/shared/emulator/template"
	"paylane/shared/feed"
	"paylane/shared/internal/pause"
	"paylane/shared/queue"
	"paylane/shared/sqsqueue"
)

const (
	// sourceCheck is the time between two looks at the sources. A change is built once
	// nothing changed from one look to the next.
	sourceCheck = 200 * time.Millisecond
	// buildsAtOnce bounds concurrent builds: the compiler uses all cores anyway.
	buildsAtOnce = 2
	// remoteReceivers hide the latency of a queue across a network; Lambda, too, starts
	// with five ("Lambda polling", SQS event source mappings).
	remoteReceivers = 5
)

// built is the platform of a template's own binaries, with queues and tables at an
// endpoint that speaks AWS's protocols.
type built struct {
	config    Config
	region    string
	clients   provision.Clients
	absent    []Absent
	folder    string // of the builds; removed at the end
	functions []*builtFunction
	outbound  *outbound  // nil if the functions may call AWS
	making    sync.Mutex // while make runs
}

type builtFunction struct {
	template.Function
	code    *gobuild.Function
	sources *gobuild.Sources
	changed bool // the sources had changed at the last look
	running *runtimeapi.Function
}

// openBuilt builds all functions, and makes what the endpoint lacks.
func openBuilt(ctx context.Context, c Config, t *template.Template) (*built, error) {
	if needs := (problems{file: c.Template, list: NeedsEndpoint(t)}); c.Endpoint == "" && len(needs.list) > 0 {
		return nil, fmt.Errorf("%w\n%w", needs.err(), ErrNoEndpoint)
	}
	folder, err := os.MkdirTemp("", "paylane-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the builds: %w", err)
	}
	p := &built{config: c, region: t.Region, clients: c.clients(), folder: folder}
	if p.functions, err = c.sources(t, folder); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	if !c.AllowAWS {
		if p.outbound, err = openOutbound(ctx, c, t, p.report); err != nil {
			return nil, errors.Join(err, p.Close(ctx))
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	if c.Endpoint != "" {
		group.Go(func() error {
			err := provision.Make(ctx, p.clients, t, c.Logger)
			if err == nil {
				p.absent, err = provision.MakeExternals(ctx, p.clients, t.Externals)
			}
			if err != nil {
				return fmt.Errorf("at the endpoint %s: %w", c.Endpoint, err)
			}
			return nil
		})
	}
	group.Go(func() error { return p.buildAll(ctx) })
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
}

// sources finds the source of each function that is invoked. The builds go below folder.
func (c Config) sources(t *template.Template, folder string) (found []*builtFunction, err error) {
	problems := problems{file: c.Template}
	for _, f := range t.Functions {
		if !IsInvoked(t, f.LogicalID) {
			continue
		}
		code, err := gobuild.New(f, filepath.Dir(c.Template), filepath.Join(folder, f.LogicalID))
		if err != nil {
			problems.add(f.Line, f.LogicalID, "%v", err)
		}
		found = append(found, &builtFunction{Function: f, code: code})
	}
	return found, problems.err()
}

func (p *built) buildAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(buildsAtOnce)
	for _, f := range p.functions {
		group.Go(func() error {
			// Noted before the build: what changes during it is built again.
			f.sources = f.code.Sources(ctx)
			program, err := p.build(ctx, f)
			if err != nil {
				return err
			}
			f.running, err = runtimeapi.New(p.runtime(f.Function, program))
			return err
		})
	}
	return group.Wait()
}

// build runs make once at a time, as sam build does unless it is told to --parallel: what
// Makefiles share outside of their copies, such as ../bin, has no copy for each.
func (p *built) build(ctx context.Context, f *builtFunction) (program string, err error) {
	if f.code.IsMade() {
		p.making.Lock()
		defer p.making.Unlock()
	}
	began := p.config.Now()
	if program, err = f.code.Build(ctx); err == nil {
		p.report("built %s in %.1f s", f.LogicalID, p.config.Now().Sub(began).Seconds())
	}
	return program, err
}

// report writes a line to the output, in one Write.
func (p *built) report(format string, args ...any) {
	_, _ = io.WriteString(p.config.Output, fmt.Sprintf(format, args...)+"\n")
}

func (p *built) runtime(f template.Function, program string) runtimeapi.Config {
	f.Environment = p.environment(f)
	return runtimeapi.Config{
		Function: f, Binary: program, Region: p.region, Credentials: p.config.Credentials,
		Log: p.config.Output, Verbose: p.config.Verbose, Logger: p.config.Logger, Now: p.config.Now,
	}
}

// environment returns a function's own variables, and those by which it is kept from AWS.
func (p *built) environment(f template.Function) map[string]string {
	all := make(map[string]string)
	if p.outbound != nil {
		// The credentials of the user's files and of the machine's role are real, too.
		all["AWS_SHARED_CREDENTIALS_FILE"], all["AWS_CONFIG_FILE"] = os.DevNull, os.DevNull
		all["AWS_EC2_METADATA_DISABLED"] = "true"
	}
	maps.Copy(all, f.Environment)
	if p.config.Endpoint != "" {
		all["AWS_ENDPOINT_URL"] = p.config.Endpoint // the template's own is for elsewhere
	}
	switch {
	case p.outbound == nil:
	case hasProxy(f):
		p.report("%s has a proxy of its own, so its calls to AWS are not refused", f.LogicalID)
	default:
		maps.Copy(all, p.outbound.variables(f))
	}
	return all
}

// Invoker implements [Platform].
func (p *built) Invoker(f template.Function) (emulator.Invoker, error) {
	for _, b := range p.functions {
		if b.LogicalID == f.LogicalID {
			return b.running, nil
		}
	}
	return nil, errors.New("it was not built")
}

// Queue implements [Platform].
func (p *built) Queue(q template.Queue) (queue.Queue, int) {
	return sqsqueue.New(p.clients.SQS, q.URL, p.config.Jitter), remoteReceivers
}

// Stream implements [Platform].
func (p *built) Stream(t template.Table) (feed.Stream, error) {
	return dynamostream.New(p.clients.DynamoDBStreams, t.StreamARN, p.config.Jitter, p.config.Logger), nil
}

// Watch implements [Platform]: a function is built again when its sources have changed. If
// the build fails, the function goes on as it was.
func (p *built) Watch(ctx context.Context) {
	for pause.For(ctx, sourceCheck) == nil {
		var group errgroup.Group
		group.SetLimit(buildsAtOnce)
		for _, f := range p.functions {
			if f.changedAndSettled(ctx) {
				group.Go(func() error {
					p.rebuild(ctx, f)
					return nil
				})
			}
		}
		_ = group.Wait() // each has reported what is wrong
	}
}

// changedAndSettled reports whether the sources have changed, but not since the last look.
func (f *builtFunction) changedAndSettled(ctx context.Context) bool {
	if f.sources.Changed() {
		f.sources, f.changed = f.code.Sources(ctx), true
		return false
	}
	changed := f.changed
	f.changed = false
	return changed
}

func (p *built) rebuild(ctx context.Context, f *builtFunction) {
	program, err := p.build(ctx, f)
	if err == nil {
		err = f.running.Replace(program)
	}
	if err != nil && ctx.Err() == nil {
		p.report("%s\n%s goes on as it was", strings.TrimSpace(err.Error()), f.LogicalID)
	}
}

// Close implements [Platform].
func (p *built) Close(ctx context.Context) error {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	var group errgroup.Group
	for _, f := range p.functions {
		switch {
		case f.running == nil:
		case f.URL != nil && f.URL.Stream:
			// A stream can last as long as its function may run. It is cut off: its client
			// can come back, or has left already.
			group.Go(func() error {
				_ = f.running.Close(ended)
				return nil
			})
		default:
			group.Go(func() error { return f.running.Close(ctx) })
		}
	}
	err := group.Wait()
	if p.outbound != nil {
		err = errors.Join(err, p.outbound.close())
	}
	return errors.Join(err, os.RemoveAll(p.folder))
}
