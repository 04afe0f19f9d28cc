package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

// Sends a request, prints its answer, and gives the token that is in it, if there is one.
func send(req *http.Request) string {
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	var body struct {
		Message string         `json:"message"`
		Data    map[string]any `json:"data"`
	}
	decoder := json.NewDecoder(answer.Body)
	// Whatever else is in the answer is not lost in what is printed.
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		fmt.Fprintln(os.Stderr, answer.Status, err)
		os.Exit(1)
	}
	printed, _ := json.Marshal(map[string]any{"status": answer.StatusCode, "body": body})
	fmt.Println(string(printed))
	token, _ := body.Data["token"].(string)
	return token
}
