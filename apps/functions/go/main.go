// A function in Go: the body reversed.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func reverse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text := []rune(string(body))
	for i, j := 0, len(text)-1; i < j; i, j = i+1, j-1 {
		text[i], text[j] = text[j], text[i]
	}
	io.WriteString(w, string(text)+"\n")
}

func main() {
	http.HandleFunc("/", reverse)
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
