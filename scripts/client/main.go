// Command client logs in to an org with the credentials that eca credentials --format env has
// written, as an integration would, and prints whose token it got. The end-to-end run uses it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	log.SetFlags(0)
	base := os.Getenv("ECA_BASE_URL")
	config := clientcredentials.Config{
		ClientID: os.Getenv("ECA_CLIENT_ID"), ClientSecret: os.Getenv("ECA_CLIENT_SECRET"),
		TokenURL: base + "/services/oauth2/token", AuthStyle: oauth2.AuthStyleInParams,
	}
	resp, err := config.Client(context.Background()).Get(base + "/services/oauth2/userinfo")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var info struct {
		Username string `json:"preferred_username"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Username)
}
