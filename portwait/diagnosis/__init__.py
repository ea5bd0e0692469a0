"""Who is in the way of a target: the sockets that make its bind fail, and the processes behind them."""
