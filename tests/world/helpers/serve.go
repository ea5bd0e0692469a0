// An HTTP server on Go's net package; argument: PORT.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	hello := func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, "hello from go") }
	log.Fatal(http.ListenAndServe(":"+os.Args[1], http.HandlerFunc(hello)))
}
