module rehost/bench/endpoint

go 1.22
