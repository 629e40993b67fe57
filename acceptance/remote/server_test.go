package remote

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// env names the folder in which BuildGrid is installed.
const env = "COMPRESSC_BUILDGRID"

// buildGrid is what pip is asked for.
const buildGrid = "buildgrid[database]==0.4.4"

// grid is a BuildGrid under test.
type grid struct {
	t       *testing.T
	bgd     string // the program
	dir     string
	port    int
	server  *exec.Cmd
	program string // compressc
	workers map[string]*exec.Cmd
}

// address is where the server listens.
func (g *grid) address() string { return fmt.Sprintf("grpc://127.0.0.1:%d", g.port) }

// patience is long: the machine may be busy, and the server is Python.
const patience = 240 * time.Second

// newGrid installs what is missing and starts a database and a server.
func newGrid(t *testing.T) *grid {
	home := os.Getenv(env)
	if home == "" {
		t.Skipf("set %s to a folder for BuildGrid to run against it", env)
	}
	python, err := exec.LookPath("python3.11")
	if err != nil {
		t.Skip("BuildGrid needs python3.11: ", err)
	}
	postgres := findPostgres(t)
	g := &grid{t: t, port: freePort(t), workers: map[string]*exec.Cmd{}}
	if g.dir, err = os.MkdirTemp("", "buildgrid-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(g.dir) })
	if err := os.Chmod(g.dir, 0o755); err != nil { // the database is another user's
		t.Fatal(err)
	}
	if home, err = filepath.Abs(home); err != nil {
		t.Fatal(err)
	}
	g.bgd = filepath.Join(home, "venv", "bin", "bgd")
	if _, err := os.Stat(g.bgd); err != nil {
		start := time.Now()
		g.must(nil, python, "-m", "venv", filepath.Join(home, "venv"))
		g.must(nil, filepath.Join(home, "venv", "bin", "pip"), "install", "-q", buildGrid)
		t.Logf("installed BuildGrid in %v", time.Since(start).Round(time.Second))
	}
	sql := g.database(postgres)
	config, err := os.ReadFile("buildgrid.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("SQLPORT", strconv.Itoa(sql), "PORT", strconv.Itoa(g.port), "FOLDER", g.dir).Replace(string(config))
	if err := os.WriteFile(filepath.Join(g.dir, "bgd.yml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	g.must(nil, g.bgd, "migrate", "apply", fmt.Sprintf("postgresql+psycopg2://postgres@127.0.0.1:%d/bgd", sql))
	g.start()
	g.program = filepath.Join(g.dir, "compressc")
	build := exec.Command("go", "build", "-o", g.program, "github.com/compressc/compressc/cmd/compressc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return g
}

func findPostgres(t *testing.T) string {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		dirs = append([]string{filepath.Dir(p)}, dirs...)
	}
	for _, d := range slices.Backward(dirs) {
		if _, err := os.Stat(filepath.Join(d, "createdb")); err == nil {
			return d
		}
	}
	t.Skip("BuildGrid needs PostgreSQL (Debian: apt install postgresql): no initdb")
	return ""
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// database starts PostgreSQL, which refuses to run as root, and returns its
// port.
func (g *grid) database(bin string) int {
	port := freePort(g.t)
	dir := filepath.Join(g.dir, "sql")
	if err := os.Mkdir(dir, 0o700); err != nil {
		g.t.Fatal(err)
	}
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			g.t.Skip("PostgreSQL does not run as root, and there is no user postgres: ", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			g.t.Fatal(err)
		}
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	data := filepath.Join(dir, "data")
	g.must(as, filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres")
	options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c fsync=off", port, dir)
	g.must(as, filepath.Join(bin, "pg_ctl"), "-D", data, "-o", options, "-l", filepath.Join(dir, "log"), "-w", "start")
	g.t.Cleanup(func() {
		stop := exec.Command(filepath.Join(bin, "pg_ctl"), "-D", data, "stop", "-m", "immediate")
		stop.SysProcAttr = as
		if out, err := stop.CombinedOutput(); err != nil {
			g.t.Logf("stopping the database: %v: %s", err, out)
		}
	})
	g.must(as, filepath.Join(bin, "createdb"), "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "postgres", "bgd")
	return port
}

func (g *grid) must(as *syscall.SysProcAttr, argv ...string) {
	g.t.Helper()
	c := exec.Command(argv[0], argv[1:]...)
	c.SysProcAttr, c.Dir = as, "/"
	// pg_ctl leaves the database behind with its output: a file, not a pipe, or
	// it would be waited for.
	out, err := os.CreateTemp(g.t.TempDir(), "out")
	if err != nil {
		g.t.Fatal(err)
	}
	defer out.Close()
	c.Stdout, c.Stderr = out, out
	if err := c.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		g.t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, text)
	}
}

// start starts the server and waits until it listens.
func (g *grid) start() {
	g.t.Helper()
	log, err := os.OpenFile(filepath.Join(g.dir, "bgd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		g.t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(g.bgd, "server", "start", filepath.Join(g.dir, "bgd.yml"))
	c.Stdout, c.Stderr = log, log
	// Its processes end together.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.server = c
	g.t.Cleanup(g.kill)
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port)); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			g.t.Fatalf("BuildGrid does not come up: %s", text)
		}
	}
}

// kill ends the server as a power cut would.
func (g *grid) kill() {
	if g.server == nil {
		return
	}
	syscall.Kill(-g.server.Process.Pid, syscall.SIGKILL)
	g.server.Wait()
	g.server = nil
}

// work starts a worker.
func (g *grid) work(name string) {
	g.t.Helper()
	c := exec.Command(g.program, "worker", "-name", name, "-threads", "1", "-dir", g.workerDir(name), "-remote-timeout", "20s", g.address())
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.workers[name] = c
	g.t.Cleanup(func() {
		g.killWorker(name)
		if g.t.Failed() {
			g.t.Logf("worker %s: %s", name, log.String())
		}
	})
}

func (g *grid) workerDir(name string) string { return filepath.Join(g.dir, "worker-"+name) }

// busy waits until a worker has an action's command running: its order has been
// laid out.
func (g *grid) busy(name string) {
	g.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if m, err := filepath.Glob(filepath.Join(g.workerDir(name), "actions", "*", "order.json")); err == nil && len(m) > 0 {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("worker %s gets nothing to do", name)
		}
	}
}

func (g *grid) killWorker(name string) {
	if c := g.workers[name]; c != nil {
		c.Process.Kill()
		c.Wait()
		delete(g.workers, name)
	}
}
