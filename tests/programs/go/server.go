// A static Go program: goroutines, channels, timers, the collector, an HTTP server on loopback,
// files, a subprocess and signals. Prints the same wherever it runs.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sort"
	"sync"
	"syscall"
	"time"
)

func goroutines() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for i := 0; i < 1000; i++ {
		wg.Add(1)
		go func(n int) {
			defer wg.Done()
			if n%10 == 0 {
				time.Sleep(time.Millisecond)
			}
			mu.Lock()
			sum += n
			mu.Unlock()
		}(i)
	}
	wg.Wait()
	fmt.Println("goroutines", sum)
}

func timers() {
	start := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	for i := 0; i < 5; i++ {
		<-tick.C
	}
	tick.Stop()
	fmt.Println("ticker", time.Since(start) >= 10*time.Millisecond)
	select {
	case <-time.After(5 * time.Millisecond):
		fmt.Println("after")
	case <-make(chan int):
	}
}

func memory() {
	keep := make([][]byte, 0)
	for i := 0; i < 2000; i++ {
		b := make([]byte, 10000)
		b[0] = byte(i)
		if i%100 == 0 {
			keep = append(keep, b)
		}
	}
	runtime.GC()
	sum := 0
	for _, b := range keep {
		sum += int(b[0])
	}
	fmt.Println("memory", len(keep), sum)
}

func web() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("listen", err)
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "path %s", r.URL.Path)
	})
	go http.Serve(l, nil)
	var got []string
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := 0; i < 20; i++ {
		wg.Add(1)
		go func(n int) {
			defer wg.Done()
			r, err := http.Get(fmt.Sprintf("http://%s/%02d", l.Addr(), n))
			if err != nil {
				fmt.Println("get", err)
				return
			}
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			mu.Lock()
			got = append(got, string(b))
			mu.Unlock()
		}(i)
	}
	wg.Wait()
	sort.Strings(got)
	fmt.Println("web", len(got), got[0], got[len(got)-1])
	c, err := net.Dial("tcp", "127.0.0.1:1")
	fmt.Println("refused", c == nil, err != nil)
}

func files() {
	d, _ := os.MkdirTemp("/tmp", "leat-t.go")
	defer os.RemoveAll(d)
	os.WriteFile(d+"/a", []byte("text"), 0600)
	b, err := os.ReadFile(d + "/a")
	fmt.Println("file", string(b), err)
	_, err = os.ReadFile(d + "/none")
	fmt.Println("none", os.IsNotExist(err))
}

func children() {
	out, err := exec.Command("/bin/sh", "-c", "echo from sh; exit 3").Output()
	fmt.Printf("child %q %v\n", out, err)
}

func signals() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal", <-c)
	defer func() { fmt.Println("recovered", recover()) }()
	var p *int
	fmt.Println(*p)
}

func main() {
	fmt.Println("args", len(os.Args), runtime.GOOS, runtime.GOARCH, runtime.NumCPU() > 0)
	goroutines()
	timers()
	memory()
	web()
	files()
	children()
	signals()
	os.Exit(4)
}
