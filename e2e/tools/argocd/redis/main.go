// Redis is an in-memory stand-in for the Redis in which Argo CD keeps what it may forget.
//
// Its one argument is the address to listen on.
package main

import (
	"log"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: redis ADDRESS")
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(os.Args[1]); err != nil {
		log.Fatalf("cannot listen on %s: %v", os.Args[1], err)
	}
	log.Printf("listening on %s", server.Addr())
	// Its clock stands still unless it is moved, and then nothing would ever expire.
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
}
